"""Rivals on the same network and images, timed in turn and judged by the same judge."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from benchmarks.attacks import Run
from benchmarks.bars.table import Row, ratio_row
from benchmarks.timing import alternate
from robench.attack.threat import ThreatModel
from robench.data.images import ImageSet
from robench.judge.verdict import judge
from robench.model.interface import Model
from robench.record.schema import Status


@dataclass(frozen=True, slots=True, kw_only=True)
class Race:
    """Rivals on the same work.

    Attributes:
        work: what it is.
        model: the network.
        data: the images.
        threat: norm and radius.
        runs: `robench` and its rivals.
        repeats: counted rounds.
    """

    work: str
    model: Model
    data: ImageSet
    threat: ThreatModel
    runs: Mapping[str, Run]
    repeats: int

    def rows(self, bars: Mapping[str, float], *, at_most: bool = False) -> list[Row]:
        """Return one row for each rival with a bar: rival / ours at least, or ours / rival at most."""
        points: dict[str, Tensor] = {}

        def kept(name: str, run: Run) -> Callable[[], None]:
            def call() -> None:
                points[name] = run()

            return call

        calls = {name: kept(name, run) for name, run in self.runs.items()}
        timing = alternate(calls, repeats=self.repeats, warmup=1, clock=time.process_time)
        x, y = self.data.batch(slice(None))
        robust, size = {}, {}
        for name, images in points.items():
            verdict = judge(self.model, x, y, images.detach().float(), threat=self.threat)
            breaks = torch.tensor([status is Status.BROKEN for status in verdict.status])
            robust[name] = sum(status is Status.ROBUST for status in verdict.status)
            size[name] = f"{float(verdict.l2[breaks].median()):.3f}" if bool(breaks.any()) else "-"
        rows = []
        for name, bar in bars.items():
            ours, theirs = timing.seconds["robench"], timing.seconds[name]
            pairs = [a / b if at_most else b / a for a, b in zip(ours, theirs, strict=True)]
            rows.append(
                ratio_row(
                    f"{self.work}, {len(x)} images",
                    name,
                    bar,
                    pairs,
                    at_most=at_most,
                    seconds=f"{timing.median('robench'):.2f} / {timing.median(name):.2f}",
                    robust=f"{robust['robench']} / {robust[name]}",
                    size=f"{size['robench']} / {size[name]}",
                )
            )
        return rows
