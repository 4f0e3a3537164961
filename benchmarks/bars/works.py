"""What is measured: every work by its name, and the table of them all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import torch

from benchmarks import public_networks
from benchmarks.bars.attacks import Radius, around_passes, carlini_wagner, pgd, verdict_wanted
from benchmarks.bars.by_name import by_name
from benchmarks.bars.cascades import cascades
from benchmarks.bars.commands import first_number, help_page
from benchmarks.bars.graphs import joint_graph, large_template
from benchmarks.bars.table import Row, kept, this_machine, written
from robench.engines import Engine
from robench.machine import keep_freed_memory

ROBUST, TINY = Radius(0.3, 0.03), Radius(1e-4, 1e-5)


def _resnet20(
    root: Path | None, repeats: int, rival: str, bar: float, steps: int = 20, *, engine: Engine = "auto"
) -> list[Row]:
    net, photos = public_networks.seeded("resnet20", root, 128)
    return pgd(net, photos, TINY, steps=steps, repeats=repeats, bars={rival: bar}, engine=engine)


def _resnet18(
    root: Path | None, repeats: int, rival: str, bar: float, *, engine: Engine = "auto"
) -> list[Row]:
    net, photos = public_networks.seeded("resnet18", root, 64)
    return pgd(net, photos, TINY, steps=20, repeats=min(repeats, 2), bars={rival: bar}, engine=engine)


def _small_cnn(root: Path | None, repeats: int, bar: float = 1.2, *, engine: Engine = "auto") -> list[Row]:
    net, digits = public_networks.small_cnn(root, 256)
    return pgd(net, digits, ROBUST, steps=20, repeats=repeats, bars={"torchattacks": bar}, engine=engine)


def _natural(root: Path | None, repeats: int) -> list[Row]:
    net, digits = public_networks.natural_small_cnn(root, 500)
    return verdict_wanted(net, digits, ROBUST, repeats=repeats)


def _around(root: Path | None, repeats: int) -> list[Row]:
    net, digits = public_networks.small_cnn(root, 256)
    return around_passes(net, digits, ROBUST, repeats=repeats)


def _carlini_wagner(root: Path | None, repeats: int, *, engine: Engine = "auto") -> list[Row]:
    net, digits = public_networks.small_cnn(root, 96)
    return carlini_wagner(net, digits, repeats=min(repeats, 3), engine=engine)


WORKS: dict[str, Callable[[Path | None, int], list[Row]]] = {
    "help": help_page,
    "first_number": first_number,
    "joint_graph": joint_graph,
    "large_template": large_template,
    "by_name": by_name,
    "small_cnn": _small_cnn,
    "around": _around,
    "natural": _natural,
    "cw": _carlini_wagner,
    "resnet20": partial(_resnet20, rival="torchattacks", bar=1.5),
    "resnet20_art": partial(_resnet20, rival="ART", bar=2.4),
    "resnet20_foolbox": partial(_resnet20, rival="foolbox", bar=2.4),
    "resnet20_100": partial(_resnet20, rival="torchattacks", bar=1.5, steps=100),
    "resnet18": partial(_resnet18, rival="torchattacks", bar=1.5),
    "resnet18_art": partial(_resnet18, rival="ART", bar=2.4),
    "resnet18_foolbox": partial(_resnet18, rival="foolbox", bar=2.4),
    "resnet20_compiled": partial(_resnet20, rival="torchattacks", bar=1.5, engine="compiled"),
    "resnet20_compiled_art": partial(_resnet20, rival="ART", bar=2.4, engine="compiled"),
    "resnet20_compiled_foolbox": partial(_resnet20, rival="foolbox", bar=2.4, engine="compiled"),
    "resnet18_compiled": partial(_resnet18, rival="torchattacks", bar=1.5, engine="compiled"),
    "small_cnn_bfloat16": partial(_small_cnn, bar=2.0, engine="bfloat16"),
    "resnet20_bfloat16": partial(_resnet20, rival="torchattacks", bar=2.4, engine="bfloat16"),
    "cw_bfloat16": partial(_carlini_wagner, engine="bfloat16"),
    "resnet18_bfloat16": partial(_resnet18, rival="torchattacks", bar=2.4, engine="bfloat16"),
    "cascades": lambda root, _repeats: cascades(root, 1),  # a round takes many minutes
    "cascades_bfloat16": lambda root, _repeats: cascades(root, 1, engine="bfloat16"),
}
"""What is measured, by name; each alone takes minutes."""


def report(root: Path | None, repeats: int, folder: Path, names: Sequence[str] = ()) -> list[str]:
    """Measure bars, write `RESULTS.md` and `results.csv` into a folder, and return the former's lines.

    Args:
        root: the data folder.
        repeats: counted rounds.
        folder: where the results are; rows that are not measured anew, and those of other machines, stay.
        names: which of `WORKS`; all by default.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    keep_freed_memory()
    rows = kept(folder)
    lines: list[str] = []
    try:
        for name in names or WORKS:
            rows[this_machine()] |= {(row.work, row.against): row for row in WORKS[name](root, repeats)}
            lines = written(rows, folder)  # after each work, because all of them take long
    finally:
        torch.set_num_threads(threads)
    return lines
