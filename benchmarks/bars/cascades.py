"""Bars of the cascades beside the reference AutoAttack (Croce & Hein 2020), as packaged in `pyautoattack`."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from benchmarks import public_networks
from benchmarks.attacks import own_run
from benchmarks.bars.table import Row, ratio_row
from benchmarks.timing import alternate
from robench.attack.norms import LINF
from robench.attack.threat import ThreatModel
from robench.engines import Engine
from robench.judge.verdict import judge
from robench.record.schema import Status

BARS = {"autoattack": 2.0, "economical_autoattack": 15.0}
"""How many times as fast as the reference ours have to be."""


def cascades(
    root: Path | None, repeats: int, *, images: int = 200, eps: float = 0.3, engine: Engine = "auto"
) -> list[Row]:
    """Time whole cascades on the first images of MNIST.

    Args:
        root: the data folder.
        repeats: counted rounds, none of them before for warming up: each takes many minutes.
        images: how many.
        eps: the radius, Linf.
        engine: how ours ask the network.
    """
    from pyautoattack import AutoAttack

    logging.getLogger("auto-attack").setLevel(logging.ERROR)
    model, data = public_networks.small_cnn(root, images)
    threat = ThreatModel(norm=LINF, eps=eps)
    x, y = data.batch(slice(None))
    points: dict[str, Tensor] = {}

    def reference() -> None:
        with torch.random.fork_rng(devices=[]):
            cascade = AutoAttack(model.net, norm="Linf", eps=eps, seed=0, version="standard")
            points["reference"], _ = cascade.run_standard_evaluation(x.clone(), y.clone(), batch_size=250)

    def own(name: str) -> None:
        points[name] = own_run(model, data, threat, name, drop=True, engine=engine)()

    runs: dict[str, Callable[[], None]] = {
        "reference": reference,
        **{name: partial(own, name) for name in BARS},
    }
    timing = alternate(runs, repeats=repeats, warmup=0, clock=time.process_time)
    robust = {
        name: sum(one is Status.ROBUST for one in judge(model, x, y, final.detach(), threat=threat).status)
        for name, final in points.items()
    }
    suffix = "" if engine == "auto" else f", `--engine {engine}`"
    return [
        ratio_row(
            f"`{name}`, {model.name}{suffix}, {images} images",
            "reference AutoAttack",
            bar,
            [a / b for a, b in zip(timing.seconds["reference"], timing.seconds[name], strict=True)],
            seconds=f"{timing.median(name):.1f} / {timing.median('reference'):.1f}",
            robust=f"{robust[name]} / {robust['reference']}",
        )
        for name, bar in BARS.items()
    ]
