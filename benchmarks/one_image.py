"""The way of one image through the kernel: which functions and files work on it, and how often it comes back.

    python -m benchmarks.one_image [--show]

One image of the digits is attacked by `pgd` on a small network and on a WNLL head, crafted and judged by
`robench.run.evaluate`, everything prepared before. Counted are functions of `robench/`, not those of plugins:

- functions: how many different ones are entered;
- files: in how many files these are;
- stays: read in the order in which they are first entered, how many stretches there are in one file;
- returns: stays in a file that was left before, stays minus files.

A function is read once, however often it is called: so the figures say what a reader of the code has to walk.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from types import FrameType
from typing import Any

import robench
from attacks.gradient.pgd import PGD
from benchmarks import models
from robench.api.makers import wnll_head
from robench.attack.norms import LINF
from robench.attack.threat import ThreatModel
from robench.judge.verdict import classify
from robench.model.interface import Model
from robench.record.store import Store
from robench.run.crafting import Board
from robench.run.evaluate import evaluate
from robench.run.evaluated_model import EvaluatedModel
from robench.run.keeper import FolderKeeper
from robench.run.settings import Settings
from robench.run.work import Work

ROOM = Path(robench.__file__).parent

BY_THE_CLOCK = {"Reporter.alive"}
"""Functions that are only called where the work takes long."""


def functions_of(call: Callable[[], object]) -> list[tuple[str, str]]:
    """Return file and name of every function of the kernel that a call enters, in order of first entry."""
    order: dict[tuple[str, str], None] = {}

    def note(frame: FrameType, event: str, _: Any) -> None:
        path = Path(frame.f_code.co_filename)
        name = frame.f_code.co_qualname
        is_function = "<" not in frame.f_code.co_name and name not in BY_THE_CLOCK
        if event == "call" and is_function and ROOM in path.parents:
            order.setdefault((str(path.relative_to(ROOM)), name))

    sys.setprofile(note)
    try:
        call()
    finally:
        sys.setprofile(None)
    return list(order)


def evaluation(folder: Path, *, head: bool) -> Callable[[], object]:
    """Return an evaluation of one image by `pgd`, kept in a run folder, with everything prepared.

    Args:
        folder: the run folder.
        head: put a WNLL head on the network; with its first gradient source alone.
    """
    digits = models.images("digits", "test", 1, None)
    net = models.network("digits_cnn", digits.shape, 10).eval()
    train = models.images("digits", "train", 300, None)
    model = wnll_head(net, train, m=15, n=8) if head else Model(name="softmax", net=net, classes=10)
    x, _ = digits.batch(slice(None))
    right = replace(digits, labels=classify(model, x, batch_size=1))  # else there is nothing to attack
    source = next(iter(model.sources))
    work = Work(
        models=[EvaluatedModel(model=model, fingerprint=model.fingerprint(), sources=(source,))],
        data=right,
        boards=[
            Board(threat=ThreatModel(norm=LINF, eps=0.01), eps_text="0.01", attacks={"pgd": PGD(steps=3)})
        ],
        settings=Settings(transfer=False),
    )
    store = Store(folder)
    store.prepare()
    return lambda: list(evaluate(work, FolderKeeper(store)))


def report(*, show: bool = False) -> list[str]:
    """Return the figures as lines of Markdown, and where asked the functions in order."""
    lines = ["| model | functions | files | stays | returns |", "|---|---|---|---|---|"]
    for name, head in (("softmax", False), ("WNLL", True)):
        with tempfile.TemporaryDirectory() as first, tempfile.TemporaryDirectory() as second:
            evaluation(Path(first), head=head)()  # what is remembered from then on is no part of the way
            functions = functions_of(evaluation(Path(second), head=head))
        stays = [(file, list(names)) for file, names in groupby(functions, key=lambda entry: entry[0])]
        files = {file for file, _ in stays}
        counts = (len(functions), len(files), len(stays), len(stays) - len(files))
        lines.append(f"| {name} | {' | '.join(map(str, counts))} |")
        if show:
            lines += [f"    {file}: {', '.join(name for _, name in names)}" for file, names in stays]
    return lines


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--show", action="store_true", help="list the functions too, a line for each stay")
    print("\n".join(report(show=parser.parse_args().show)))


if __name__ == "__main__":
    main()
