"""What a line of progress says."""

from __future__ import annotations

import io
import itertools
import subprocess
import sys

import pytest
from rich.console import Console

from robench.cli.pace import Pace, span
from robench.cli.reporters import Bars, PlainReporter, RichReporter, training_text
from robench.run.progress import AccuracySoFar, ColumnAccuracy
from tests.reports.board.test_leaderboard import B, M, R, record


def test_an_epoch_is_told_with_accuracies_and_how_many_images_they_are_of():
    row = {
        "epoch": 3.0, "stage": 2.0, "loss": 0.41234, "learning_rate": 0.05, "train_robust_accuracy": 0.5,
        "validation_accuracy": 0.9123, "validation_robust_accuracy": 0.4, "validation_images": 3000,
        "best": 1.0, "seconds": 12.34,
    }  # fmt: skip
    assert training_text(row) == (
        "epoch 3, stage 2, loss 0.4123, learning rate 0.05, train under attack 50.0 %, "
        "held out 91.2 % (n 3000), under attack 40.0 %, best so far, 12.3 s"
    )


@pytest.mark.parametrize(
    ("row", "text"),
    [
        ({"epoch": 1.0, "step": 10, "steps": 40, "loss": 2.3}, "epoch 1, step 10 of 40, loss 2.3"),
        ({"epoch": 1.0, "validation_accuracy": 0.5, "validation_images": 4, "best": 0.0},
         "epoch 1, held out 50.0 % (n 4)"),
        ({"epoch": 1.0, "my_own": 7.0}, "epoch 1, my own 7"),
    ],
)  # fmt: skip
def test_what_was_not_measured_is_not_mentioned(row, text):
    assert training_text(row) == text


def test_steps_are_told_now_and_then_and_epochs_always(capsys):
    plain = PlainReporter()
    plain.last_training_time = float("-inf")
    for step in (10, 20, 30):
        plain.training({"epoch": 1.0, "step": step, "steps": 30})
    plain.training({"epoch": 1.0, "loss": 1.0})
    plain.finding("net: robust overfitting")
    assert capsys.readouterr().err.splitlines() == [
        "  epoch 1, step 10 of 30",
        "  epoch 1, loss 1",
        "! net: robust overfitting",
    ]


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


def test_a_column_stands_against_the_worst_of_its_gradient_sources_over_all_its_shards():
    accuracy = AccuracySoFar()
    assert accuracy.add(record("a", "", "clean", [R, R, M, R], gradient="")).text() == "clean 75.0 % (n 4)"
    assert accuracy.add(record("a", "a", "pgd", [R, R, M, B])).text() == "robust 50.0 % (n 4)"
    assert accuracy.add(record("a", "a", "pgd", [B, R, M, R], gradient="linear")).right == 1
    column = accuracy.add(record("a", "a", "pgd", [R, R], start=4))
    assert (column.right, column.n, column.images) == (3, 6, 2)
    # Another target, source, attack or threat is another column.
    for other in (
        record("b", "a", "pgd", [R] * 4),
        record("a", "b", "pgd", [R] * 4),
        record("a", "a", "cw", [R] * 4),
        record("a", "a", "pgd", [R] * 4, eps=0.1),
    ):
        assert accuracy.add(other).text() == "robust 100.0 % (n 4)"


def test_a_line_names_the_number_of_its_own_gradient_source_first_in_any_order():
    units = {
        "exact": record("a", "a", "pgd", [R, R, M, B], gradient="exact"),
        "linear": record("a", "a", "pgd", [R, R, M, R], gradient="linear"),
        "kernel": record("a", "a", "pgd", [B, R, M, R], gradient="kernel"),
    }
    shares = {"exact": "50.0 %", "linear": "75.0 %", "kernel": "50.0 %"}
    for order in itertools.permutations(units):
        accuracy = AccuracySoFar()
        lines = [accuracy.add(units[name]).text() for name in order]
        assert lines[0] == f"robust {shares[order[0]]} (n 4)"
        for count, (name, line) in enumerate(zip(order, lines, strict=True), 1):
            assert line.startswith(f"robust {shares[name]} (n 4)")
            assert count == 1 or line.endswith(f" over {count} sources")
        assert lines[2].endswith(", 25.0 % over 3 sources")


def test_pace_counts_only_what_was_done_now():
    clock = Clock()
    pace = Pace(10, clock)
    assert pace.text() == ""
    pace.note(50, cached=True)
    assert pace.text() == ""
    clock.now += 4
    pace.note(50, cached=False)
    pace.note(30, cached=False)
    assert pace.text() == "20 images/s, 14.0 s left"  # 7 units at 2 s
    for _ in range(7):
        pace.note(0, cached=True)
    assert pace.text() == "20 images/s"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.04, "0.0 s"), (59.94, "59.9 s"), (59.96, "1 min 0 s"), (3599.6, "1 h 0 min"), (7300, "2 h 1 min")],
)
def test_lengths_of_time(seconds, text):
    assert span(seconds) == text


def test_a_plain_line_carries_robust_accuracy_and_pace(capsys):
    plain, clock = PlainReporter(), Clock()
    plain.start(3)
    plain.pace = Pace(3, clock)
    clock.now += 2
    plain.begin("pgd on net")
    plain.advance(
        "clean on net", cached=True, accuracy=ColumnAccuracy(attacked=False, right=9, n=10, images=10)
    )
    plain.advance("pgd on net", accuracy=ColumnAccuracy(attacked=True, right=3, n=10, images=10))
    plain.advance("cw on net: failed")
    assert capsys.readouterr().err.splitlines() == [
        "3 units",
        "goes on after clean on net: 1 of 3 units were there",
        "[2/3] pgd on net: robust 30.0 % (n 10), 5 images/s, 2.0 s left",
        "[3/3] cw on net: failed: 5 images/s",
    ]


@pytest.mark.parametrize("width", [80, 200])
def test_what_moves_in_a_terminal_fits_it(monkeypatch, width):
    stream = io.StringIO()
    console = Console(file=stream, width=width, force_terminal=True, no_color=True)
    monkeypatch.setattr("robench.cli.reporters.errors", lambda: console)
    rich = RichReporter()
    rich.start(240)
    rich.begin("[pgd] on \x1b[31mnet through straight_through (Linf 8/255) -> " + "very-long" * 30)
    rich.advance("pgd on net", accuracy=ColumnAccuracy(attacked=True, right=613, n=1000, images=1000))
    rich.begin("[cw] on \x1b[31mnet " + "very-long" * 30)
    rich.training({"epoch": 1.0, "step": 3, "steps": 10})
    assert isinstance(rich._bars(), Bars)
    terminal = Console(file=io.StringIO(), width=width)
    terminal.print(rich._bars().get_renderable())
    rich.close()
    lines = terminal.file.getvalue().splitlines()
    assert len(lines) == 3  # what is done, units, steps
    assert lines[0].startswith("[cw] on ")
    assert "\x1b" not in terminal.file.getvalue()
    assert "1/240" in lines[1]
    assert "robust 61.3 % (n 1000)" in lines[1]
    assert "3/10" in lines[2]
    assert "epoch 1" in lines[2]
    assert max(map(len, lines)) <= width


UNREAD = """
import os, pty, sys
from robench.cli.reporters import PlainReporter, RichReporter

def tell():
    reporter.start(3)
    reporter.stage("a stage")
    reporter.begin("a unit")
    reporter.advance("a unit")
    reporter.training({"step": 1, "steps": 2})
    reporter.training({"epoch": 1.0})
    reporter.finding("a finding")
    reporter.failed("a unit")

reporter = PlainReporter() if sys.argv[1] == "pipe" else RichReporter()
reader, writer = os.pipe() if sys.argv[1] == "pipe" else pty.openpty()
os.dup2(writer, 2)
os.close(writer)
tell()
os.close(reader)
tell()
reporter.close()
print("a message", file=sys.stderr)
print("the work went on")
"""


@pytest.mark.parametrize("what", ["pipe", "terminal"])
def test_progress_that_nobody_reads_any_more_ends_no_work(what):
    process = subprocess.run(
        [sys.executable, "-c", UNREAD, what], capture_output=True, text=True, check=False
    )
    assert (process.returncode, process.stdout) == (0, "the work went on\n")


ENDING = """
import os, sys
from pathlib import Path
import typer
from robench.cli.session import finish
from robench.run.outcome import Outcome

reader, writer = os.pipe()
os.dup2(writer, 1)
os.close(writer)
os.close(reader)
try:
    finish(Outcome(finished=1, cached=0, failed=int(sys.argv[1]), seconds=1.0), "units", [], folder=Path("."))
except typer.Exit as ending:
    sys.exit(ending.exit_code)
"""


@pytest.mark.parametrize(("failed", "code"), [(1, 3), (0, 0)])
def test_results_that_nobody_reads_any_more_change_no_exit_code(tmp_path, failed, code):
    command = [sys.executable, "-c", ENDING, str(failed)]
    assert subprocess.run(command, cwd=tmp_path, stderr=subprocess.PIPE, check=False).returncode == code


def test_work_that_goes_on_says_after_which_unit(capsys):
    plain = PlainReporter()
    plain.start(4)
    plain.advance("clean on net -> net", cached=True)
    plain.advance("pgd on net -> net", cached=True)
    plain.advance("cw on net -> net", accuracy=ColumnAccuracy(attacked=True, right=3, n=10, images=10))
    plain.advance("fgsm on net -> net", accuracy=ColumnAccuracy(attacked=True, right=3, n=10, images=10))
    lines = capsys.readouterr().err.splitlines()
    assert lines[1] == "goes on after pgd on net -> net: 2 of 4 units were there"
    assert [line for line in lines if "goes on" in line] == lines[1:2]


def test_a_long_unit_shows_that_it_lives_in_a_pipe_too(capsys):
    plain = PlainReporter()
    plain.start(2)
    plain.alive("cw on net", 31.0, 500)
    assert capsys.readouterr().err.splitlines() == ["2 units"]
    plain.last_line_time -= 31.0
    plain.alive("cw on net\x1b[31m", 62.0, 12_000)
    plain.alive("cw on net", 63.0, 12_500)
    (line,) = capsys.readouterr().err.splitlines()
    assert line == "  at work for 1 min 2 s, 12,000 passes: cw on net\\x1b[31m"


def test_a_long_unit_shows_that_it_lives_in_a_terminal(monkeypatch):
    stream = io.StringIO()
    console = Console(file=stream, width=100, force_terminal=True, no_color=True)
    monkeypatch.setattr("robench.cli.reporters.errors", lambda: console)
    rich = RichReporter()
    rich.start(2)
    rich.alive("cw on net", 62.0, 1)
    assert rich._bars().title == "at work for 1 min 2 s, 1 pass: cw on net"
    rich.close()
