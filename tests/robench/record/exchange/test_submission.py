"""A submission file: the same run gives the same bytes, and nothing else than a submission is read."""

import hashlib
import json
import shutil
import zipfile

import numpy as np
import pytest

from robench.errors import InputError, RobenchError, StorageError
from robench.record.exchange.broken_images import of_run, of_submission, packed, smallest_changes
from robench.record.exchange.submission import MANIFEST, read_submission, unpacked, write_submission, zipped
from robench.record.store import Store
from tests.reports.html.synthetic import run_folder


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return run_folder(tmp_path_factory.mktemp("submitted") / "run", models=2)


@pytest.fixture
def submission(run, tmp_path):
    path = tmp_path / "one.zip"
    write_submission(run, path)
    return path


def rewritten(path, change, *, honest=True):
    """Write a submission again with other members; an honest one lists them as they are."""
    with zipfile.ZipFile(path) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    change(files)
    if honest and MANIFEST in files:
        manifest = json.loads(files[MANIFEST])
        digests = {name: hashlib.sha256(data).hexdigest() for name, data in files.items() if name != MANIFEST}
        files[MANIFEST] = json.dumps({**manifest, "files": digests}).encode()
    path.write_bytes(zipped(files))
    return path


def refusal(path):
    with pytest.raises(InputError) as error, unpacked(path):
        pass
    return str(error.value)


def test_the_way_there_and_back(run, submission):
    before = Store(run).readable()[0]
    with unpacked(submission) as one:
        records, faults = Store(one.root).readable()
        assert not faults
        assert [r.key for r in records] == [r.key for r in before]
        assert all(a.columns == b.columns for a, b in zip(records, before, strict=True))
        assert one.name == "synthetic"
        assert (one.root / "models" / "model-00-0123" / "history.csv").is_file()
        root = one.root
    assert not root.exists()


def test_the_same_run_gives_the_same_bytes(run, submission, tmp_path):
    write_submission(run, tmp_path / "two.zip")
    assert submission.read_bytes() == (tmp_path / "two.zip").read_bytes()


def test_of_each_broken_image_the_smallest_change_is_kept(run, submission):
    records = Store(run).readable()[0]
    smallest = {}
    for record in records:
        for at, status in enumerate(record.columns.status):
            if str(status) == "broken":
                image = (record.target.name, record.columns.index[at])
                smallest[image] = min(smallest.get(image, np.inf), record.columns.linf[at])
    assert len(smallest) > 20
    with unpacked(submission) as one:
        parts = list(of_submission(one.root, Store(one.root).readable()[0]))
        places = [(b.record.target.name, b.record.columns.index[at]) for b in parts for at in b.positions]
        assert sorted(places) == sorted(smallest)
        for images in parts:
            for at in images.positions:
                image = (images.record.target.name, images.record.columns.index[at])
                assert images.record.columns.linf[at] == smallest[image]


def test_they_are_the_images_of_the_run(run):
    for images in of_run(Store(run), Store(run).readable()[0]):
        from safetensors.numpy import load_file

        whole = load_file(Store(run).adv(images.record.provenance.crafted))["x_adv"]
        assert np.array_equal(images.x_adv, whole[list(images.positions)])
        assert packed(images) == packed(images)


def test_images_of_joint_and_random_models_are_not_kept(run):
    from tests.records import changed

    records = Store(run).readable()[0]
    assert smallest_changes(records)
    assert not smallest_changes([changed(r, target={"coupling": "joint"}) for r in records])


@pytest.mark.parametrize(
    "name",
    [
        "../evil.json", "/etc/passwd", "units/../../evil.json", "units\\..\\evil.json", "C:/evil.json",
        "units/.json", "units/a/b.json", "weights.safetensors", "units/", "report.html", "cards/..md",
        "units/\u0661.json",
    ],
)  # fmt: skip
def test_no_name_leads_out_of_it(submission, tmp_path, name):
    path = rewritten(submission, lambda files: files.update({name: b"{}"}))
    before = sorted(tmp_path.parent.rglob("evil*"))
    assert "only members that a submission has" in refusal(path)
    assert sorted(tmp_path.parent.rglob("evil*")) == before


@pytest.mark.thorough
def test_a_bomb_is_refused_before_it_is_unpacked(submission):
    def fill(files):
        files["units/bomb.json"] = b"0" * (200 << 20)

    assert "a multiple of their size" in refusal(rewritten(submission, fill))


def test_limits(submission, monkeypatch):
    monkeypatch.setenv("ROBENCH_MAX_SUBMISSION_FILES", "3")
    assert "ROBENCH_MAX_SUBMISSION_FILES" in refusal(submission)
    monkeypatch.setenv("ROBENCH_MAX_SUBMISSION_FILES", "3000")
    monkeypatch.setenv("ROBENCH_MAX_SUBMISSION_UNPACKED", "1000")
    assert "ROBENCH_MAX_SUBMISSION_UNPACKED" in refusal(submission)
    monkeypatch.setenv("ROBENCH_MAX_SUBMISSION_BYTES", "1000")
    assert "1000 bytes" in refusal(submission)


def test_damage_is_noticed(submission):
    def edit(files):
        files["run.json"] = files["run.json"].replace(b"finished", b"FINISHED")

    assert "another digest" in refusal(rewritten(submission, edit, honest=False))


@pytest.mark.parametrize("text", [b"[", b"[]", b'{"schema": 2}', b'{"schema": 1}', b"\xff"])
def test_a_manifest_that_is_none(submission, text):
    path = rewritten(submission, lambda files: files.update({MANIFEST: text}), honest=False)
    assert MANIFEST in refusal(path)


def test_without_a_manifest_or_with_a_file_that_it_does_not_list(submission):
    variant = rewritten(submission, lambda files: files.update({"units/new.json": b"{}"}), honest=False)
    assert "units/new.json" in refusal(variant)
    assert MANIFEST in refusal(rewritten(submission, lambda files: files.pop(MANIFEST)))


def test_two_members_of_one_name(submission):
    with zipfile.ZipFile(submission, "a") as archive, pytest.warns(UserWarning, match="Duplicate name"):
        archive.writestr("run.json", b"{}")
    assert "'run.json' twice" in refusal(submission)


def test_other_files(tmp_path):
    (tmp_path / "text.zip").write_text("no archive")
    assert "a submission file" in refusal(tmp_path / "text.zip")
    assert "no such file" in refusal(tmp_path / "gone.zip")
    assert "a folder" in refusal(tmp_path)


def test_damaged_bytes_never_raise_anything_else(submission):
    data = submission.read_bytes()
    rng = np.random.default_rng(0)
    for _ in range(60):
        content = bytearray(data)
        for at in rng.integers(0, len(data), 3):
            content[at] ^= int(rng.integers(1, 256))
        submission.write_bytes(bytes(content))
        try:
            read_submission(submission)
        except InputError:
            continue


def test_images_that_the_records_do_not_know_are_refused(run, submission):
    with unpacked(submission) as one:
        records = Store(one.root).readable()[0]
        first = next(of_submission(one.root, records))
        standing = next(
            at for at, status in enumerate(first.record.columns.status) if str(status) != "broken"
        )
        from dataclasses import replace

        wrong = replace(first, positions=(standing, *first.positions[1:]))
        (one.root / "broken" / f"{first.record.key}.safetensors").write_bytes(packed(wrong))
        with pytest.raises(StorageError, match="were broken"):
            list(of_submission(one.root, records))


def test_a_run_that_cannot_be_packed(run, tmp_path):
    copy = shutil.copytree(run, tmp_path / "copy")
    next((copy / "units").glob("*.json")).write_text("{")
    with pytest.raises(RobenchError):
        write_submission(copy, tmp_path / "out.zip")
    assert not (tmp_path / "out.zip").exists()
