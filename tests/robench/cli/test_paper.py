"""`robench paper`: tables and figures at the quick scale on small sets, and mistakes told before any work."""

from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from robench.cli import app


@pytest.fixture
def cli(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return lambda *words: CliRunner().invoke(app, [str(word) for word in words], prog_name="robench")


@pytest.fixture
def images(tmp_path):
    """Write a file of coloured squares of ten classes that looks like a data set of `shape`."""

    def write(shape, train=400, test=40):
        chance = np.random.default_rng(0)
        arrays = {}
        for split, n in (("train", train), ("test", test)):
            labels = np.arange(n) % 10
            pixels = chance.integers(0, 60, (n, *shape))
            pixels += (labels * 19).reshape(n, *[1] * len(shape))
            arrays |= {f"x_{split}": pixels.astype(np.uint8), f"y_{split}": labels}
        np.savez(tmp_path / "set.npz", **arrays)
        return ["--train-on", "set.npz", "--test-on", "set.npz", "--data-root", tmp_path]

    return write


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["table12"], "a table or figure of Wang & Osher 2019"),
        (["table2", "--only", "imagenet"], "one of cifar10, mnist, svhn"),
        (["table2", "--train-on", "digits"], "tables over one data set"),
        (["table8", "--device", "gpu"], "auto, cpu, cuda"),
        (["table8", "--scale", "huge"], "'huge' is not one of"),
        (["table8", "--images", 1000], "tables over several numbers of labelled training images"),
        (["table3", "--scale", "reduced", "--images", 50], "1000 or 10000, which this table has"),
    ],
)
def test_what_cannot_be_done_is_refused_before_any_work(cli, words, complaint):
    outcome = cli("paper", *words)
    assert outcome.exit_code == 2
    assert complaint in " ".join(outcome.output.split())
    assert not Path("runs").exists()


def test_a_dry_run_tells_what_would_be_done(cli):
    outcome = cli("paper", "table6", "table7", "--dry-run")
    assert outcome.exit_code == 0, outcome.output
    assert outcome.output.count("robust-mnist-quick: mnist test") == 1  # both tables are of one experiment
    assert "Nothing was run" in outcome.output


def test_a_table_on_other_images_than_the_papers_has_to_be_asked_for(cli):
    usual, explicit = cli("paper", "table10", "--dry-run"), cli("paper", 10, "--only", "mnist", "--dry-run")
    assert usual.exit_code == explicit.exit_code == 0, explicit.output
    assert "neighbours-mnist" not in usual.output
    assert "neighbours-cifar10" not in explicit.output
    assert "Small-CNN-WNLL (60, 30): features of Small-CNN-WNLL" in explicit.output
    wrong = cli("paper", "table10", "table8", "--only", "mnist", "--dry-run")
    assert wrong.exit_code == 2
    assert "cifar10, which table8 is of" in " ".join(wrong.output.split())


def test_some_numbers_of_training_images_alone(cli):
    words = ["paper", "table3", "--scale", "reduced", "--only", "cifar10", "--dry-run"]
    every, some = cli(*words), cli(*words, "--images", 1000)
    assert every.exit_code == some.exit_code == 0, some.output
    assert "ResNet20-10000" in every.output
    assert "ResNet20-1000" in some.output
    assert "ResNet20-10000" not in some.output


@pytest.mark.thorough
def test_a_table_is_measured_set_beside_the_paper_and_resumed(cli, images):
    words = ["paper", "table2", "--only", "mnist", *images((28, 28)), "--device", "cpu", "--workers", 0]
    outcome = cli(*words)
    assert outcome.exit_code == 0, outcome.output
    text = Path("runs/paper-quick/table2.md").read_text("utf-8")
    assert "97.74" in text  # the paper's
    assert "ours: WNLL" in text
    assert "WNLL against softmax, clean images" in text
    again = cli(*words)
    assert "0 units finished, 2 cached" in " ".join(again.output.split())


@pytest.mark.thorough
def test_trainings_of_several_seeds_have_a_median(cli, images):
    words = ["paper", "2", "--only", "mnist", "--seeds", 2, *images((28, 28)), "--device", "cpu"]
    outcome = cli(*words, "--workers", 0)
    assert outcome.exit_code == 0, outcome.output
    assert "median of 2 trainings: softmax" in Path("runs/paper-quick/table2.md").read_text("utf-8")


@pytest.mark.thorough
@pytest.mark.timeout(900)
def test_robust_tables_have_both_protocols_and_their_figures(cli, images):
    data = images((28, 28))
    outcome = cli("paper", "table6", "table7", "figure5", *data, "--device", "cpu", "--workers", 0)
    assert outcome.exit_code == 0, outcome.output
    text = Path("runs/paper-quick/table6.md").read_text("utf-8")
    for part in ("published way: FGSM", "published way: authors' code", "everything that was run"):
        assert part in text
    assert "crafted on Small-CNN" in Path("runs/paper-quick/table7.md").read_text("utf-8")
    assert "report.html" in outcome.output.splitlines()[-1]


@pytest.mark.thorough
@pytest.mark.timeout(900)
def test_natural_tables_and_figures_of_a_coloured_set(cli, images):
    data = images((3, 32, 32), test=20)
    names_of_tables = ("table1", "table3", "table11", "figure4")
    outcome = cli("paper", *names_of_tables, *data, "--device", "cpu", "--workers", 0)
    assert outcome.exit_code == 0, outcome.output
    for name in ("table1.md", "table3.md", "table11.md", "figure4-natural-cifar10-s0.svg"):
        assert Path("runs/paper-quick", name).stat().st_size > 500


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(
    "words",
    [("table8", "table9", "table10", "figure6", "figure10"), ("figure3",), ("figure7", "figure8", "figure9")],
)
def test_the_other_tables_and_figures_of_a_coloured_set(cli, images, words):
    data = images((3, 32, 32), test=20)
    names = {"figure10": ["--only", "cifar10"]}.get(words[-1], [])
    outcome = cli("paper", *words, *data, *names, "--device", "cpu", "--workers", 0)
    assert outcome.exit_code == 0, outcome.output
