"""What torchrun starts in `test_distributed.py`: trainings whose results each process writes down.

Usage: torchrun --nproc-per-node=2 several.py agree|fail|diverge FOLDER
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import torch
from torch import nn

import defenses.training.distributed
import defenses.training.validation
from robench.errors import JobError
from tests.defenses.toys import StoppedError, context, network, recipe, toy

RANK = os.environ.get("RANK", "alone")
AGREEING = ("natural", "trades", "free")
# They draw once per batch, or put a batch into one graph: a share is a batch of its own to them.
BY_SHARE = ("ensemble", "wnll_pgd")


def plain():
    """The toy without batch-norm and dropout: alone and together it must learn the same."""
    net = network()
    net.backbone[2], net.backbone[4] = nn.Identity(), nn.Identity()
    return net


def learned(name, net, *, state=None, stop=None, **options):
    """Train, and return the history without seconds."""

    def progress(row):
        if stop and row["epoch"] == stop and "step" not in row:
            raise StoppedError

    history = recipe(name, **{"precision": "float32", **options})(
        net, toy(), context=context(state, progress)
    )
    return [{k: v for k, v in row.items() if k not in ("seconds", "processes")} for row in history]


def agree(folder):
    """Train by many objectives; then with batch-norm and dropout, whole and from a state."""
    results = {}
    for name in (*AGREEING, *BY_SHARE):
        net = plain()
        history = learned(name, net, average="ema" if name == "natural" else "none")
        results[name] = (net.state_dict(), history)
    if RANK != "alone":
        options = {"average": "swa", "average_start": 0.5, "precision": "bfloat16"}
        whole, second = network(), network()
        history = learned("free", whole, **options)
        results["whole"] = (whole.state_dict(), history)
        state = folder / "state.pt"
        half = network()
        shorter = _stopped_state(half, state, options)
        results["stopped"] = (half.state_dict(), shorter)
        history = learned("free", second, state=state, **options)
        results["resumed"] = (second.state_dict(), history)
    torch.save(results, folder / f"{RANK}.pt")


def _stopped_state(net, state, options):
    """Leave the state of two epochs behind, by keeping the file as it is then."""
    contents = []

    def progress(row):
        if "step" not in row and row["epoch"] == 2:
            contents.append(state.read_bytes())

    defense = recipe("free", **options)
    history = defense(net, toy(), context=context(state, progress))
    if contents:
        state.write_bytes(contents[0])
    return [{k: v for k, v in row.items() if k not in ("seconds", "processes")} for row in history]


class Broken(nn.Module):
    """Fails in one process, or is no number in both, at its third step."""

    def __init__(self, how):
        super().__init__()
        self.inner, self.how, self.steps = plain(), how, 0

    def forward(self, x):
        self.steps += 1
        if self.steps == 3 and self.how == "fail" and RANK == "1":
            raise ValueError("only here")
        diverges = self.how == "diverge" and self.steps == 3 and RANK == "1"
        return self.inner(x) * (torch.nan if diverges else 1)


def main():
    how, folder = sys.argv[1], Path(sys.argv[2])
    torch.set_num_threads(1)
    # Small chunks, so that both processes have some of the twenty images held out.
    defenses.training.distributed.EVALUATION_BATCH = defenses.training.validation.EVALUATION_BATCH = 7
    if how == "agree":
        return agree(folder)
    try:
        learned("natural", Broken(how))
    except JobError as error:
        (folder / f"{RANK}.txt").write_text(str(error))
    return None


if __name__ == "__main__":
    main()
