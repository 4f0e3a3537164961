"""Bars of library attacks: what it costs to run them through robench."""

from __future__ import annotations

import time
from pathlib import Path

from benchmarks import libraries, public_networks
from benchmarks.bars.table import Row, ratio_row
from benchmarks.timing import alternate

EPS, STEP = 0.3, 0.03


def by_name(root: Path | None, repeats: int) -> list[Row]:
    """Time 40 steps of PGD of ART and torchattacks by name, beside the same call of the library alone."""
    model, data = public_networks.small_cnn(root, 64)
    rows = []
    for name, (bare, adapter) in libraries.pairs(model, data, eps=EPS, step=STEP).items():
        if name.startswith("foolbox"):
            continue
        timing = alternate({"bare": bare, "adapter": adapter}, repeats=repeats, clock=time.process_time)
        ratios = [a / b for a, b in zip(timing.seconds["adapter"], timing.seconds["bare"], strict=True)]
        rows.append(
            ratio_row(
                f"`{name}` by name, {model.name}, 64 images",
                "the library alone",
                1.05,
                ratios,
                at_most=True,
                seconds=f"{timing.median('adapter'):.2f} / {timing.median('bare'):.2f}",
            )
        )
    return rows
