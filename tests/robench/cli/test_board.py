"""`robench board` and `robench submit` on the command line: what is wrong is said before any work."""

import dataclasses
import json
import shutil
import zipfile

import numpy as np
import pytest
from typer.testing import CliRunner

from robench.cli.app import app
from robench.record.exchange.broken_images import of_run, packed
from robench.record.exchange.submission import write_submission
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
    assert "not-reproduced" not in (tmp_path / "c" / "index.html").read_text()


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
    assert f"net: does NOT hold: {120 + len(broken_of(store))} images, {wrong} differ" in outcome.output
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
