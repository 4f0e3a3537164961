"""Bars of commands: how long people wait for help, and for a first number."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.bars.table import Row, ratio_row

NET = """
import torch
from torch import nn

def make():
    torch.manual_seed(0)
    convolutions = [nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU(), nn.Conv2d(8, 16, 3, 2, 1), nn.ReLU()]
    return nn.Sequential(*convolutions, nn.Flatten(), nn.Linear(1024, 10))
"""


def processor_seconds(words: list[str], folder: Path) -> float:
    """Return what Python, called with these words in a folder, and its children took, user and system.

    Raises:
        RuntimeError: it failed.
    """
    child = subprocess.Popen([sys.executable, *words], cwd=folder, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise RuntimeError(f"python {' '.join(words)} ended with {child.returncode}")
    return usage.ru_utime + usage.ru_stime


def help_page(_root: Path | None, repeats: int) -> list[Row]:
    """Time `robench --help`."""
    with tempfile.TemporaryDirectory() as name:
        seconds = [
            processor_seconds(["-P", "-m", "robench", "--help"], Path(name)) for _ in range(repeats + 1)
        ]
    return [ratio_row("`robench --help`: seconds", "-", 0.25, seconds[1:], at_most=True)]


def first_number(root: Path | None, repeats: int) -> list[Row]:
    """Time a first number: one small network, 500 pictures, FGSM, all reports; beside importing torch."""
    words = ["-P", "-m", "robench", "eval", "net.py:make", "--random-weights", "--data", "cifar10-jpeg"]
    words += ["--data-root", str(root), "--limit", "500", "--eps", "8/255", "--attacks", "fgsm", "--quiet"]
    ours, imports = [], []
    for _ in range(repeats + 1):
        with tempfile.TemporaryDirectory() as name:
            (Path(name) / "net.py").write_text(NET)
            ours.append(processor_seconds(words, Path(name)))
            imports.append(processor_seconds(["-P", "-c", "import torch"], Path(name)))
    beyond = [own - torch for own, torch in zip(ours[1:], imports[1:], strict=True)]
    both = f"{statistics.median(ours[1:]):.1f} / {statistics.median(imports[1:]):.1f}"
    work = "a first number, all reports, 500 pictures: seconds beyond"
    return [ratio_row(work, "import torch", 3.0, beyond, at_most=True, seconds=both)]
