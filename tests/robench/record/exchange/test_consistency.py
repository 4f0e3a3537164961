"""A submission whose records contradict themselves or their images is refused, without any network."""

import dataclasses
import hashlib
import json
import zipfile

import numpy as np
import pytest

from robench.errors import InputError, StorageError
from robench.record.certificates import Certificates
from robench.record.exchange.broken_images import FOLDER, member_of, packed
from robench.record.exchange.consistency import check_records
from robench.record.exchange.submission import MANIFEST, unpacked, write_submission, zipped
from robench.record.schema import Record
from robench.record.seal import sealed_text
from robench.record.store import Store
from tests.records import changed
from tests.reports.html.synthetic import run_folder


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return run_folder(tmp_path_factory.mktemp("consistency") / "run", models=2)


@pytest.fixture
def submission(run, tmp_path):
    path = tmp_path / "theirs.zip"
    write_submission(run, path)
    return path


@pytest.fixture(scope="module")
def attacked(run):
    """The record with the most broken images."""
    records = [record for record in Store(run).read_records() if not record.attack.is_clean]
    return max(records, key=lambda record: record.columns.status.count("broken"))


def edited(path, change):
    """Change the files of a submission; its digests are right again."""
    with zipfile.ZipFile(path) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    change(files)
    manifest = json.loads(files.pop(MANIFEST))
    digests = {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
    path.write_bytes(zipped({**files, MANIFEST: json.dumps({**manifest, "files": digests}).encode()}))
    return path


def with_columns(path, key, **columns):
    """Give the record of that key other columns: values by name, or functions of the record."""

    def change(files):
        name = f"units/{key}.json"
        record = Record.from_json(files[name].decode())
        values = {column: value(record) if callable(value) else value for column, value in columns.items()}
        record = dataclasses.replace(record, columns=dataclasses.replace(record.columns, **values))
        files[name] = f"{sealed_text(record.to_json())}\n".encode()

    return edited(path, change)


def refusal(path):
    with pytest.raises(InputError) as error, unpacked(path):
        pass
    assert error.value.exit_code == 2
    assert str(path) in str(error.value)
    return str(error.value)


def as_robust(record):
    return ["robust" if status == "broken" else status for status in record.columns.status]


def test_a_status_that_the_columns_contradict(submission, attacked):
    text = refusal(with_columns(submission, attacked.key, status=as_robust))
    count = attacked.columns.status.count("broken")
    image = attacked.columns.index[attacked.columns.status.index("broken")]
    assert f"units/{attacked.key}.json" in text
    assert f"another for {count} images of {attacked.attack.label} on {attacked.target.name}" in text
    assert f"image {image} is robust there, but broken by `label`" in text


def test_a_misclassified_clean_image_that_is_said_to_stand(submission, run):
    clean = next(record for record in Store(run).read_records() if record.attack.is_clean)
    assert "misclassified" in clean.columns.status
    text = refusal(with_columns(submission, clean.key, status=["robust"] * len(clean.columns)))
    assert "is robust there, but misclassified by" in text


@pytest.mark.parametrize(("answer", "stated"), [(-1, "failed"), (-2, "broken"), (10, "robust")])
def test_answers_that_are_no_class(attacked, answer, stated):
    position = attacked.columns.status.index("robust")

    def record_with(status):
        columns = {name: list(getattr(attacked.columns, name)) for name in ("adversarial", "status")}
        columns["adversarial"][position], columns["status"][position] = answer, status
        return dataclasses.replace(attacked, columns=dataclasses.replace(attacked.columns, **columns))

    check_records([record_with(stated)])
    for other in {"failed", "broken", "robust", "misclassified"} - {stated}:
        with pytest.raises(StorageError, match=f"is {other} there, but {stated} by"):
            check_records([record_with(other)])


def test_under_a_targeted_goal_only_the_target_breaks(attacked):
    """Broken images of this record answer two classes further, which is not the target."""
    targeted = changed(attacked, threat={"goal": "targeted"})
    with pytest.raises(StorageError, match=r"is broken there, but robust by .* goal targeted"):
        check_records([targeted])
    columns = targeted.columns
    answers = [
        (label + 1) % 10 if status == "broken" else answer
        for label, status, answer in zip(columns.label, columns.status, columns.adversarial, strict=True)
    ]
    check_records([dataclasses.replace(targeted, columns=dataclasses.replace(columns, adversarial=answers))])


def test_draws_of_a_random_model_do_not_decide(attacked):
    """`status` is about the attacked draw, whatever fresh noise gave."""
    for draws in ("00", "11"):
        columns = dataclasses.replace(attacked.columns, stood=[draws] * len(attacked.columns))
        check_records([dataclasses.replace(attacked, columns=columns)])


@pytest.mark.parametrize("column", ["label", "clean", "adversarial"])
@pytest.mark.parametrize("number", [-3, 11])
def test_a_number_that_is_no_class(attacked, column, number):
    values = [number, *getattr(attacked.columns, column)[1:]]
    record = dataclasses.replace(attacked, columns=dataclasses.replace(attacked.columns, **{column: values}))
    with pytest.raises(StorageError, match=f"in `{column}`, as it names 10 classes, got {number}"):
        check_records([record])


def test_a_certificate_of_a_broken_image(attacked):
    count, position = len(attacked.columns), attacked.columns.status.index("broken")

    def certified(*positions):
        column = [int(at in positions) for at in range(count)]
        numbers = Certificates(
            certified=column, bound=[0.0] * count, domains=[1] * count, seconds=[0.0] * count
        )
        return dataclasses.replace(attacked, certificates=numbers)

    check_records([certified(attacked.columns.status.index("robust"))])
    with pytest.raises(StorageError, match=r"1 certificate of others: image \d+ is broken"):
        check_records([certified(position)])


def images_of(submission):
    """Return the records of a submission with its broken images."""
    from robench.record.exchange.broken_images import of_submission

    with unpacked(submission) as one:
        return list(of_submission(one.root, one.records))


def test_an_image_that_its_record_says_stands(submission):
    first = images_of(submission)[0]
    position = first.record.columns.status.index("robust")
    wrong = dataclasses.replace(first, positions=(position, *first.positions[1:]))
    name = member_of(first.record.key)
    text = refusal(edited(submission, lambda files: files.update({name: packed(wrong)})))
    assert f"{submission}:{name}" in text
    assert f"image {first.record.columns.index[position]} is robust there" in text


@pytest.mark.parametrize("kind", ["twice", "outside", "whole", "damaged"])
def test_files_that_are_no_images_of_a_record(submission, kind):
    first = next(one for one in images_of(submission) if len(one.positions) > 1)
    places = first.positions
    contents, words = {
        "twice": (dataclasses.replace(first, positions=(places[0], *places[:-1])), "some twice"),
        "outside": (dataclasses.replace(first, positions=(-1, *places[1:])), "got -1"),
        "whole": (dataclasses.replace(first, x_adv=first.x_adv.astype(np.float64)), "float64"),
        "damaged": (first, "it was damaged or edited"),
    }[kind]
    data = b"0" * 40 if kind == "damaged" else packed(contents)
    name = member_of(first.record.key)
    text = refusal(edited(submission, lambda files: files.update({name: data})))
    assert f"{submission}:{name}" in text
    assert words in text


def test_images_that_are_missing(submission):
    first = images_of(submission)[0]
    text = refusal(edited(submission, lambda files: files.pop(member_of(first.record.key))))
    assert "an image for each that the records say was broken" in text
    assert f"none for {len(first.positions)} image" in text


def test_images_of_no_attack(submission, run):
    clean = next(record for record in Store(run).read_records() if record.attack.is_clean)
    content = packed(images_of(submission)[0])
    for key in (clean.key, "nobody"):
        path = edited(submission, lambda files, key=key: files.update({member_of(key): content}))
        assert "images of none of these" in refusal(path)
        edited(submission, lambda files, key=key: files.pop(member_of(key)))


def test_a_damaged_record_is_left_out_with_its_images(submission, attacked):
    name = f"units/{attacked.key}.json"
    edited(submission, lambda files: files.update({name: b"{"}))
    with unpacked(submission) as one:
        assert [fault.about for fault in one.faults] == [name]
        assert attacked.key not in {record.key for record in one.records}
        assert any((one.root / FOLDER).iterdir())


def test_a_run_that_contradicts_itself_is_not_packed(run, attacked, tmp_path):
    import shutil

    store = Store(shutil.copytree(run, tmp_path / "run"))
    columns = dataclasses.replace(attacked.columns, status=as_robust(attacked))
    record = dataclasses.replace(attacked, columns=columns)
    store.unit(attacked.key).write_text(sealed_text(record.to_json()) + "\n")
    with pytest.raises(StorageError, match="agrees with the record's own columns"):
        write_submission(store.root, tmp_path / "out.zip")
    assert not (tmp_path / "out.zip").exists()
