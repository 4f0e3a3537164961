"""`robench eval`: one line that is a configuration, and every mistake in it told before any work."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from robench.cli import app
from robench.plan.config import parse
from robench.plan.spec import to_json
from robench.record.store import Store

ROOT = Path(__file__).parents[3]
CODE = """
import torch
from torch import nn

def make():
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 10))

def up(model, x, y, eps, steps=1):
    return (x + eps).clamp(0, 1)
up.norms = ("Linf",)
"""
LINE = ["eval", "net.py:make", "--data", "digits", "--eps", "0.1"]


@pytest.fixture
def cli(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.py").write_text(CODE)
    return lambda *words: CliRunner().invoke(app, [str(word) for word in words], prog_name="robench")


def written(folder):
    file = folder / "config.yaml"
    return parse(file.read_text("utf-8"), file=file)


@pytest.mark.thorough
def test_a_line_prints_a_row_and_keeps_a_folder_that_run_goes_on_with(cli, tmp_path):
    torch.save(torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 10)).state_dict(), "w.pt")
    words = [*LINE, "--attacks", "fgsm,net.py:up", "--checkpoint", "w.pt", "--limit", 20, "--device", "cpu"]
    outcome = cli(*words, "--workers", 0)
    assert outcome.exit_code == 0, outcome.output
    assert "net-w" in outcome.stdout
    assert "20 images, Linf 0.1" in outcome.stdout
    folder = Path("runs/net-w-digits-Linf-0.1")
    last = outcome.stdout.splitlines()[-1]
    assert last.startswith(f"Report: {folder / 'report.html'}; ")
    assert last.endswith(", config.yaml")
    store = Store(folder)
    labels = {record.attack.label for record in store.read_records()}
    assert labels == {"clean", "fgsm", "up"}
    assert json.loads((folder / "plan.json").read_text()) == to_json(written(folder))
    again = cli("run", folder / "config.yaml", "--trust-code", "--device", "cpu", "--workers", 0)
    assert again.exit_code == 0, again.output
    assert "0 units finished, 3 cached" in again.stdout
    refusal = cli("run", folder / "config.yaml", "--device", "cpu", "--workers", 0)
    assert refusal.exit_code == 2
    assert "--trust-code" in refusal.stderr


def plan_of(cli, *words):
    outcome = cli(*words, "--dry-run")
    assert outcome.exit_code == 0, outcome.output
    return outcome.stdout


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ([], "at most 1000 images"),
        ([], "Linf 0.1, untargeted: pgd, economical_autoattack"),
        (["--attacks", "quick"], "at most 200 images"),
        (["--attacks", "quick"], "apgd, apgd-margin, square"),
        (["--attacks", "quick", "--norm", "L1"], "untargeted: apgd, apgd-margin, square"),
        (["--attacks", "full"], "digits test, all images"),
        (["--trust-code"], "at most 1000 images"),
        (["--attacks", "quick,deepfool"], "digits test, all images"),
        (["--attacks", "DIFGSM"], "untargeted: difgsm"),
        (["--attacks", "quick", "--limit", "7"], "digits test, 7 images"),
        (["--attacks", "[fgsm, {pgd: {steps: 3}, label: mine}]"], "untargeted: fgsm, mine"),
        (["--set", "threats.0.attacks=[square]", "--seed", "4"], "seed 4"),
        (["--set", "dataset.subset=balanced", "--targeted"], "Linf 0.1, targeted"),
    ],
)  # fmt: skip
def test_what_a_line_means(cli, words, text):
    assert text in plan_of(cli, *LINE, *words)


def test_radii_files_and_names(cli, tmp_path):
    assert "threat smallest L2 perturbation" in plan_of(
        cli, *LINE[:-1], "inf", "--norm", "L2", "--attacks", "full"
    )
    text = plan_of(cli, *LINE[:-1], "2/255, 8/255")
    assert "net-digits-Linf-several" in text
    assert "Linf 8/255" in text
    np.savez("mine.npz", x=np.zeros((4, 1, 8, 8), "uint8"), y=np.arange(4))
    text = plan_of(cli, "eval", "net.py:make", "--data", "mine.npz", "--eps", "8/255")
    assert "net-mine-Linf-8-255: mine test (npz)" in text
    title = "dataset.options.title=Digits of mine"
    words = ("eval", "net.py:make", "--data", "mine.npz", "--eps", "8/255", "--set", title)
    assert ": Digits of mine test (npz)" in plan_of(cli, *words)
    (tmp_path / "pictures").mkdir()
    text = plan_of(cli, "eval", "net.py:make", "--data", "pictures", "--eps", "8/255")
    assert "net-pictures-Linf-8-255: pictures test (image_folder)" in text
    assert "model a b:" in plan_of(cli, *LINE, "--name", "a b")


def test_random_weights_are_taken_where_they_are_asked_for(cli):
    assert "model digits_cnn: digits_cnn, untrained" in plan_of(
        cli, "eval", "digits_cnn", *LINE[2:], "--random-weights"
    )
    outcome = cli(
        "eval",
        "torchvision:squeezenet1_1",
        *LINE[2:],
        "--random-weights",
        "--attacks",
        "fgsm",
        "--workers",
        0,
    )
    assert outcome.exit_code == 2
    assert (
        "expected a network that takes images of 1 channel, 8 by 8 pixels, got RuntimeError" in outcome.stderr
    )
    assert "adapt it in a file of yours" in outcome.stderr


NONSENSE = [
    (["eval", "net.py:make", "--data", "digits"], "Missing option '--eps'"),
    (["eval", "net.py:mak", *LINE[2:]], "a function or class 'mak'.*Did you mean 'make'"),
    (["eval", "other.py:make", *LINE[2:]], "MODEL: expected a file, got no file"),
    (["eval", "net.py", *LINE[2:]], "net.py:make"),
    (["eval", "smal_cnn", *LINE[2:]], "Did you mean 'small_cnn'"),
    (["eval", "small_cnn", *LINE[2:]], "weights for 'small_cnn'.*--checkpoint.*--random-weights"),
    ([*LINE, "--random-weights", "--checkpoint", "net.py"], "--random-weights: expected no weights"),
    (["eval", "", *LINE[2:]], "MODEL: expected file.py:function"),
    (["eval", "net.py:make", "--data", "digit", "--eps", "0.1"], "--data: .*Did you mean 'digits'"),
    (["eval", "net.py:make", "--data", "mine.npz", "--eps", "0.1"], "--data: .*no file .*mine.npz"),
    (
        ["eval", "net.py:make", "--data", "d/cifar10-jpeg.zip", "--eps", "0.1"],
        "--data cifar10-jpeg --data-root d",
    ),
    ([*LINE[:-1], "8"], "write 8/255"),
    ([*LINE[:-1], "-1"], "eps: a number of at least 0"),
    ([*LINE[:-1], "x"], "eps: a number of at least 0"),
    ([*LINE[:-1], "0.1,inf"], "eps: inf"),
    ([*LINE, "--norm", "lin"], "--norm: .*Did you mean 'Linf'"),
    ([*LINE, "--attacks", "quik"], "Did you mean 'quick'"),
    ([*LINE, "--attacks", ""], "names of attacks"),
    ([*LINE, "--attacks", "[pgd"], "--attacks:1"),
    ([*LINE, "--attacks", "[3]"], "names of attacks, got 3"),
    ([*LINE, "--attacks", "net.py:down"], "'down'"),
    ([*LINE, "--attacks", "cw"], "supports L2"),
    ([*LINE, "--checkpoint", "no.pt"], "--checkpoint: expected a file"),
    ([*LINE, "--mean", "0.5"], "--std: expected --mean and --std together"),
    ([*LINE, "--mean", "a", "--std", "1"], "--mean: expected numbers"),
    ([*LINE, "--output", "softmax"], "output: one of logits"),
    ([*LINE, "--name", "a/b"], "path separator"),
    ([*LINE, "--key", "model"], "a checkpoint beside key"),
    ([*LINE, "--set", "threats.0.attacks.0.pgd.step=3"], "Did you mean 'steps'"),
    ([*LINE, "--device", "gpu"], "--device"),
    (["eval", "timm:", *LINE[2:]], "MODEL: expected file.py:function"),
    (["eval", "hf:../b", *LINE[2:]], "expected hf:ORG/NAME"),
]


@pytest.mark.parametrize(("words", "text"), NONSENSE, ids=[text[:30] for _, text in NONSENSE])
def test_nonsense_is_refused_in_a_sentence_and_leaves_nothing(cli, words, text):
    import re

    outcome = cli(*words)
    assert outcome.exit_code == 2, outcome.output
    assert re.search(text, " ".join(outcome.stderr.replace("│", " ").split())), outcome.stderr
    assert "Traceback" not in outcome.stderr
    assert not Path("runs").exists()


@pytest.mark.thorough
@pytest.mark.parametrize(
    "words",
    [
        ["net.py:few"],
        ["net.py:boom"],
        ["net.py:make", "--device", "cuda:99"],
        ["net.py:make", "--data", "mnist"],
    ],
    ids=["outputs", "error", "device", "data"],
)
def test_a_command_refused_while_it_is_prepared_leaves_no_folder(cli, tmp_path, words):
    code = "few = lambda: nn.Sequential(nn.Flatten(), nn.Linear(64, 9))\nboom = lambda: 1 / 0\n"
    (tmp_path / "net.py").write_text(f"{CODE}\n{code}")
    (tmp_path / "empty").mkdir()
    line = ["eval", *words, *(["--data", "digits"] if "--data" not in words else [])]
    outcome = cli(*line, "--eps", "0.1", "--attacks", "fgsm", "--workers", 0, "--data-root", "empty")
    assert outcome.exit_code == 2, outcome.output
    assert {path.name for path in tmp_path.iterdir()} <= {"net.py", "empty", "__pycache__"}


def test_a_radius_that_looks_like_a_slip_is_asked_about_before_the_work(cli):
    line = ["eval", "net.py:make", "--data", "digits", "--attacks", "fgsm", "--dry-run", "--eps"]
    assert "8/255, which is 0.03137, is usual: was that meant?" in cli(*line, "8/225").stderr
    assert "meant" not in cli(*line, "8/255").stderr


def test_numbers_of_classes_are_told_from_scores(cli, tmp_path):
    code = "import torch\nmake = lambda: torch.nn.Sequential(torch.nn.Flatten(), Chosen())\n"
    module = "class Chosen(torch.nn.Module):\n    def forward(self, x):\n        return x[:, :10].argmax(1)\n"
    (tmp_path / "net.py").write_text(code + module)
    outcome = cli(*LINE, "--attacks", "fgsm", "--workers", 0)
    assert outcome.exit_code == 2
    assert "These are numbers of classes, as `argmax` gives" in " ".join(outcome.output.split())


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("digts.yaml", "Did you mean 'digits'"),
        ("mien.yaml", "Did you mean 'mine.yaml'"),
        ("qq.yaml", "directory."),
    ],
)
def test_a_configuration_that_is_not_there_is_answered_by_names_near_to_it(cli, tmp_path, name, text):
    (tmp_path / "mine.yaml").write_text("")
    outcome = cli("run", name)
    assert outcome.exit_code == 2
    assert text in " ".join(outcome.stderr.split())


def test_images_of_a_file_called_as_their_split_are_named_once(cli):
    np.savez("test.npz", x=np.zeros((4, 1, 8, 8), "float32"), y=np.arange(4))
    line = ["eval", "net.py:make", "--data", "test.npz", "--eps", "0.1", "--attacks", "fgsm"]
    assert ": test (npz), " in cli(*line, "--dry-run").stdout


def test_a_mistake_is_told_without_torch(cli, tmp_path):
    code = (
        "import sys; from robench.cli import main\n"
        f"sys.argv = ['robench', *{[*LINE, '--attacks', 'quik']!r}]\n"
        "try: main()\n"
        "except SystemExit as end: assert end.code == 2\n"
        "assert not {'torch', 'pandas', 'scipy', 'numpy'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path, env={"PYTHONPATH": str(ROOT)})


@pytest.mark.parametrize("kind", ["attack", "attacks"])
def test_code_of_a_file_is_checked_under_either_name_of_its_kind(cli, kind):
    outcome = cli("check", f"{kind}:net.py:up")
    assert outcome.exit_code == 2
    assert "permission to run code from a file" in outcome.stderr


@pytest.mark.parametrize("command", ["parity", "certify"])
def test_the_old_order_of_model_and_configuration_is_refused_with_the_new_one(cli, command):
    outcome = cli(command, "natural", "digits")
    assert outcome.exit_code == 2
    assert f"Write: robench {command} digits natural" in " ".join(outcome.stderr.split())


@pytest.mark.thorough
def test_bounds_stand_beside_attacks(cli):
    words = [*LINE, "--attacks", "fgsm", "--limit", 10, "--device", "cpu", "--workers", 0]
    outcome = cli(*words, "--bounds", "crown,branch_and_bound", "--out", "both")
    assert outcome.exit_code == 0, outcome.output
    assert "Certified" in outcome.stdout
    threat = json.loads((Path("both") / "plan.json").read_text())["threats"][0]
    assert [bound["bound"]["name"] for bound in threat["bounds"]] == ["crown", "branch_and_bound"]
    second = cli(*words, "--bounds", "[{branch_and_bound: {seconds: 3}}]", "--out", "listed", "--dry-run")
    assert second.exit_code == 0, second.output


@pytest.mark.parametrize("bounds", ["crwon", "", "[{crown: {steps: 3}}]", "[3]"])
def test_bounds_that_do_not_exist_are_refused_before_any_work(cli, bounds):
    outcome = cli(*LINE, "--bounds", bounds, "--out", "none")
    assert outcome.exit_code == 2, outcome.output
    assert not Path("none").exists()


@pytest.mark.thorough
def test_another_evaluation_of_the_same_model_does_not_replace_the_first(cli):
    small = ["--limit", "20", "--workers", "0", "--threads", "1"]
    first = cli(*LINE, "--attacks", "fgsm", *small)
    assert first.exit_code == 0, first.output
    before = Path("runs/net-digits-Linf-0.1/leaderboard.csv").read_bytes()
    other = cli(*LINE, "--attacks", "noise", *small)
    assert other.exit_code == 0, other.output
    assert "holds another evaluation, which stays" in " ".join(other.output.split())
    assert Path("runs/net-digits-Linf-0.1/leaderboard.csv").read_bytes() == before
    (beside,) = Path("runs").glob("net-digits-Linf-0.1-*")
    for line, folder in (([*LINE, "--attacks", "noise"], beside), ([*LINE, "--attacks", "fgsm"], None)):
        again = cli(*line, *small)
        assert "0 units finished" in " ".join(again.output.split())
        assert folder is None or str(folder) in again.output
    assert len(list(Path("runs").iterdir())) == 2
    there = cli(*LINE, "--attacks", "noise", *small, "--out", "runs/net-digits-Linf-0.1")
    assert there.exit_code == 0, there.output  # it was named
    assert "holds another evaluation: its records stay" in " ".join(there.stderr.split())


NET = """
import torch
from torch import nn

def make():
    torch.manual_seed({})
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
"""


def test_other_weights_or_code_by_the_same_line_do_not_replace_the_first(cli):
    line = ("eval", "own.py:make", "--data", "digits", "--eps", "0.1", "--attacks", "fgsm")
    line += ("--limit", "20", "--workers", "0", "--threads", "1", "--checkpoint", "w.pt")

    def write(code, weights):
        Path("own.py").write_text(NET.format(code))
        torch.manual_seed(weights)
        net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 10))
        torch.save(net.state_dict(), "w.pt")

    def folder_of(outcome, count):
        assert outcome.exit_code == 0, outcome.output
        assert f"{count} units finished" in " ".join(outcome.output.split())
        return outcome.output.split("Report: ")[1].split("/report")[0]

    write(0, 0)
    first = folder_of(cli(*line), 2)
    before = Path(first, "leaderboard.csv").read_bytes()
    write(0, 1)
    others = cli(*line)
    second = folder_of(others, 2)
    assert f"{first} holds an evaluation of other weights of own-w, which stays" in " ".join(
        others.stderr.split()
    )
    assert folder_of(cli(*line), 0) == second
    write(1, 0)
    edit = cli(*line)
    third = folder_of(edit, 2)
    assert "holds an evaluation of other code of own-w" in " ".join(edit.stderr.split())
    write(0, 0)
    assert folder_of(cli(*line), 0) == first
    assert Path(first, "leaderboard.csv").read_bytes() == before
    assert len({first, second, third}) == len(list(Path("runs").iterdir())) == 3
    write(0, 2)
    there = cli(*line, "--out", first)  # it was named, so it is replaced, and that is said
    assert folder_of(there, 2) == first
    assert (
        "held 2 finished units of other weights, code, data, threads or version by the same plan"
        in " ".join(there.stderr.split())
    )


def test_a_decimal_comma_is_no_list_of_radii(cli):
    result = cli("eval", "digits_cnn", "--data", "digits", "--eps", "0,1", "--attacks", "fgsm")
    assert result.exit_code == 2
    assert "write 0.1 for one number" in result.stderr
    result = cli("eval", "digits_cnn", "--data", "digits", "--eps", "0,0.1", "--attacks", "fgsm")
    assert (result.exit_code, "for one number" in result.stderr) == (2, False)
