"""`robench board` and `robench submit` on the command line: what is wrong is said before any work."""

import dataclasses
import hashlib
import json
import shutil
import zipfile

import numpy as np
import pytest
from typer.testing import CliRunner

from robench.cli.app import app
from robench.record.exchange.broken_images import of_run, packed
from robench.record.exchange.submission import MANIFEST, write_submission, zipped
from robench.record.schema import Record
from robench.record.seal import sealed_text
from robench.record.store import Store
from tests.reports.html.synthetic import run_folder

CONFIG = """\
schema: 1
name: tiny
dataset: {name: digits, split: test, limit: 120}
models:
  - name: net
    architecture: digits_cnn
    train: {data: {limit: 200}, defense: {natural: {epochs: 2, learning_rate: 0.1}}}
threats:
  - norm: Linf
    eps: 0.1
    attacks: [{pgd: {steps: 3}}]
"""


def command(*words):
    outcome = CliRunner().invoke(app, [*map(str, words)], prog_name="robench")
    assert "Traceback" not in outcome.output
    assert "Internal error" not in outcome.output
    return outcome


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("finished")
    (folder / "tiny.yaml").write_text(CONFIG)
    outcome = command("run", folder / "tiny.yaml", "-o", folder / "run", "--workers", "0", "-q")
    assert outcome.exit_code == 0, outcome.output
    return folder / "run"


def test_a_folder_and_a_submission(tmp_path):
    run = run_folder(tmp_path / "run")
    assert command("submit", run, "-o", tmp_path / "one.zip").exit_code == 0
    outcome = command("board", tmp_path / "one.zip", run, "-o", tmp_path / "site")
    assert outcome.exit_code == 0, outcome.output
    text = (tmp_path / "site" / "index.html").read_text()
    assert "a submission file" in text
    assert "a run folder" in text


@pytest.mark.thorough
def test_a_run_that_lacks_units_is_packed_with_a_word(finished, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(finished, run)
    record = next(r for r in Store(run).read_records() if not r.attack.is_clean)
    assert "missing" not in command("submit", run, "-o", tmp_path / "whole.zip").output
    Store(run).unit(record.key).unlink()
    journal = run / "finished.txt"
    journal.write_text(
        "".join(line for line in journal.read_text().splitlines(True) if record.key not in line)
    )
    facts = json.loads((run / "run.json").read_text())
    facts |= {"status": "interrupted", "units": [key for key in facts["units"] if key != record.key]}
    (run / "run.json").write_text(json.dumps(facts))
    outcome = command("submit", run, "-o", tmp_path / "part.zip")
    assert outcome.exit_code == 0, outcome.output
    label = record.attack.label
    assert "warning: Digits 8x8 test" in outcome.output
    assert f"missing {label} 0 of" in outcome.output
    assert "get no rank on a board" in outcome.output


@pytest.mark.thorough
def test_published_numbers_stand_apart(tmp_path):
    run = run_folder(tmp_path / "run")
    info = {
        "name": "<b>A paper",
        "dataset": "toy",
        "eps": "0.1",
        "clean_acc": "99.99",
        "autoattack_acc": "98.76",
    }
    (tmp_path / "Linf").mkdir()
    (tmp_path / "Linf" / "Doe.json").write_text(json.dumps(info))
    outcome = command("board", run, "-o", tmp_path / "site", "--published", tmp_path / "Linf" / "Doe.json")
    assert outcome.exit_code == 0, outcome.output
    page = (tmp_path / "site" / "published.html").read_text()
    assert "98.76" in page
    assert "not measured" in page
    assert "<b>" not in page
    assert "Rank" not in page
    index = (tmp_path / "site" / "index.html").read_text()
    assert "98.76" not in index
    assert "published.html" in index


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["board", "{t}/gone"], "a run folder or a submission file"),
        (["board", "{t}/run", "{t}/text.zip"], "a run folder or a submission file"),
        (["board", "{t}/run", "-o", "{t}"], "a folder with other files"),
        (["board", "{t}/run", "-o", "{t}/site", "--published", "{t}/gone.json"], "no such file"),
        (["board", "{t}/run", "-o", "{t}/site", "--models", "{t}"], "--rejudge beside it"),
        (
            ["board", "{t}/run", "-o", "{t}/site", "--rejudge", "--models", "{t}/gone"],
            "a folder with networks",
        ),
        (["board", "{t}/run", "-o", "{t}/site", "--device", "toaster"], "expected auto, cpu"),
        (["board", "{t}/bad.zip", "-o", "{t}/site"], "only members that a submission has"),
        (["submit", "{t}/gone"], "a run folder"),
        (["submit", "{t}/run", "-o", "{t}/x.tar"], "ends in .zip"),
    ],
)
def test_what_is_wrong_is_said_before_any_work(tmp_path, words, said):
    run_folder(tmp_path / "run", models=1)
    (tmp_path / "text.zip").write_text("no archive")
    with zipfile.ZipFile(tmp_path / "bad.zip", "w") as archive:
        archive.writestr("../evil.json", "{}")
    outcome = command(*(word.replace("{t}", str(tmp_path)) for word in words))
    assert outcome.exit_code == 2, outcome.output
    assert said in " ".join(outcome.output.split())
    assert not (tmp_path / "site").exists()


def flipped(run, path):
    """Write a submission in which broken images of an attack stand, with right digests and all its images."""
    write_submission(run, path)
    with zipfile.ZipFile(path) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    records = {name: Record.from_json(files[name].decode()) for name in files if name.startswith("units/")}
    name, record = next(item for item in records.items() if "broken" in item[1].columns.status)
    status = [one if one != "broken" else "robust" for one in record.columns.status]
    columns = dataclasses.replace(record.columns, status=status)
    files[name] = f"{sealed_text(dataclasses.replace(record, columns=columns).to_json())}\n".encode()
    manifest = json.loads(files.pop(MANIFEST))
    manifest["files"] = {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
    path.write_bytes(zipped({**files, MANIFEST: json.dumps(manifest).encode()}))
    return name


@pytest.mark.parametrize("words", [[], ["--rejudge"]])
def test_a_submission_that_contradicts_itself_is_refused_by_name(tmp_path, words):
    run = run_folder(tmp_path / "run", models=1)
    write_submission(run, tmp_path / "ours.zip")
    member = flipped(run, tmp_path / "theirs.zip")
    outcome = command("board", tmp_path / "ours.zip", tmp_path / "theirs.zip", "-o", tmp_path / "s", *words)
    assert outcome.exit_code == 2, outcome.output
    assert f"{tmp_path / 'theirs.zip'}:{member}: " in outcome.output
    assert "a `status` that agrees with the record's own columns" in outcome.output
    assert "ours.zip" not in outcome.output
    assert not (tmp_path / "s").exists()


@pytest.mark.thorough
def test_a_network_at_hand_is_asked_again_and_holds(finished, tmp_path):
    write_submission(finished, tmp_path / "one.zip")
    outcome = command("board", finished, "-o", tmp_path / "a", "--rejudge")
    assert "net: holds: " in outcome.output
    outcome = command("board", tmp_path / "one.zip", "-o", tmp_path / "b", "--rejudge")
    assert (
        "net: not re-judged: its weights are not at hand. Name a run folder that has them: --models RUN"
        in outcome.output
    )
    assert "not re-judged" in (tmp_path / "b" / "index.html").read_text()
    outcome = command("board", tmp_path / "one.zip", "-o", tmp_path / "c", "--rejudge", "--models", finished)
    assert "net: holds: " in outcome.output
    text = (tmp_path / "c" / "index.html").read_text()
    assert "not-reproduced" not in text
    store = Store(finished)
    (attack,) = [record for record in store.read_records() if not record.attack.is_clean]
    breaks, stands = (attack.columns.status.count(one) for one in ("broken", "robust"))
    assert breaks == len(broken_of(store))
    images = f"120 clean images and {breaks} of {breaks + stands} attacked images"
    words = f"{images}, all as stated; {stands} said to stand are not at hand"
    assert words in outcome.output
    assert words in text


def copied(run, folder):
    import shutil

    return Store(shutil.copytree(run, folder))


@pytest.mark.thorough
def test_a_clean_accuracy_that_is_made_up_is_in_doubt(finished, tmp_path):
    store = copied(finished, tmp_path / "run")
    (clean,) = [record for record in store.read_records() if record.attack.is_clean]
    boast = dataclasses.replace(clean.columns, clean=list(clean.columns.label), status=["robust"] * 120)
    path = store.unit(clean.key)
    path.write_text(sealed_text(dataclasses.replace(clean, columns=boast).to_json()) + "\n")
    wrong = sum(a != b for a, b in zip(clean.columns.clean, clean.columns.label, strict=True))
    assert wrong > 1
    outcome = command("board", store.root, "-o", tmp_path / "site", "--rejudge")
    assert f"net: does NOT hold: 120 clean images and {len(broken_of(store))} of " in outcome.output
    assert f" attacked images, {wrong} differ" in outcome.output
    assert "not-reproduced" in (tmp_path / "site" / "index.html").read_text()


def broken_of(store):
    return [at for one in of_run(store, store.read_records()) for at in one.positions]


def test_images_that_break_nothing_are_in_doubt(finished, tmp_path, monkeypatch):
    store = Store(finished)
    from robench.record.exchange import broken_images

    def harmless(root, records):
        for one in of_run(store, records):
            yield dataclasses.replace(one, x_adv=np.zeros_like(one.x_adv))

    monkeypatch.setattr(broken_images, "of_run", of_run)
    assert packed(next(of_run(store, store.read_records())))
    write_submission(finished, tmp_path / "one.zip")
    monkeypatch.setattr(broken_images, "of_submission", harmless)
    outcome = command(
        "board", tmp_path / "one.zip", "-o", tmp_path / "site", "--rejudge", "--models", finished
    )
    assert "does NOT hold" in outcome.output
    assert "not-reproduced" in (tmp_path / "site" / "index.html").read_text()
