"""A piece of work ends in time: at once when done, asked to stop otherwise, killed if it does not listen."""

import signal
import sys

import pytest

from benchmarks import paper_gpu


def test_a_piece_that_ends_in_time_returns_its_exit_code():
    assert paper_gpu.piece([sys.executable, "-c", "raise SystemExit(3)"], paper_gpu.GRACE + 60) == 3


@pytest.mark.thorough
def test_a_longer_one_is_asked_to_stop_and_then_killed(monkeypatch):
    monkeypatch.setattr(paper_gpu, "GRACE", 3.0)
    waits = "import time; time.sleep(60)"
    assert paper_gpu.piece([sys.executable, "-c", waits], 4.0) == -signal.SIGTERM
    deaf = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {waits}"
    monkeypatch.setattr(paper_gpu, "GRACE", 1.0)
    assert paper_gpu.piece([sys.executable, "-c", deaf], 3.0) == -signal.SIGKILL


def test_what_was_interrupted_is_left(monkeypatch, capsys):
    codes = {"table8": 143, "table9": 0, "table6": 3}
    monkeypatch.setattr(paper_gpu, "piece", lambda command, _: codes[command[4]])
    monkeypatch.setattr(sys, "argv", ["paper_gpu", "--tables", *codes, "--rehearse"])
    assert paper_gpu.main() == 3
    assert "Left: table8, table6" in capsys.readouterr().out
    codes |= dict.fromkeys(codes, 0)
    assert paper_gpu.main() == 0
