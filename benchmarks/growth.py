"""How the work grows: with images, pixels, classes, the template of a WNLL head, and workers.

    python -m benchmarks.growth [--repeats N] [--only NAME ...] [--figure FILE.svg]

Every series makes one size larger and leaves all others alone. Seconds of a processor, one thread, medians of
alternating runs; of workers the seconds on a clock, for they share the work: these want a machine that does
nothing else. The slope is that of a line through the logarithms: 1 is work in proportion, 0 is none.
"""

from __future__ import annotations

import argparse
import math
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from benchmarks.attacks import own_run
from benchmarks.models import network
from benchmarks.timing import alternate
from robench.attack.norms import LINF
from robench.attack.threat import ThreatModel
from robench.data.images import ImageSet, image_set
from robench.machine import keep_freed_memory
from robench.model.interface import Model

Call = Callable[[], object]
EPS = 1e-4
"""So small that every image stays robust, and nobody's work ends early."""


_MARKS = [digit * 10.0**power for power in range(-4, 5) for digit in (1, 2, 5)]
"""Seconds that the axes of the figure may name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """One size and what the work cost.

    Attributes:
        work: what was done.
        size: what grows.
        seconds: by size.
    """

    work: str
    size: str
    seconds: Mapping[int, float]

    @property
    def slope(self) -> float:
        """Return by how many powers of the size the seconds grow."""
        sizes, seconds = (
            [math.log(value) for value in part] for part in (self.seconds, self.seconds.values())
        )
        return round(statistics.linear_regression(sizes, seconds).slope, 2) + 0.0  # no -0.00

    def line(self) -> str:
        """Return a row of the table."""
        sizes = ", ".join(f"{size:,}" for size in self.seconds)
        seconds = ", ".join(f"{value:.3g}" for value in self.seconds.values())
        return f"| {self.work} | {self.size} | {sizes} | {seconds} | {self.slope:.2f} |"


def answered_images(net: nn.Module, count: int, side: int, classes: int) -> ImageSet:
    """Return noise in colour, labelled by what a network answers."""
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (count, 3, side, side), dtype=torch.uint8, generator=generator)
    with torch.no_grad():
        y = torch.cat([net(part).argmax(dim=1) for part in torch.split(pixels.float() / 255, 64)])
    return image_set(pixels, y, name="uniform noise", split="test", classes=classes)


def attack_call(name: str, *, count: int, side: int = 32, classes: int = 10, **options: Any) -> Call:
    """Return a run of an attack on ResNet20 with seeded weights, as the first on a network."""
    net = network("resnet20", (3, side, side), classes).eval()
    data = answered_images(net, count, side, classes)
    model = Model(name="resnet20", net=net, classes=classes)
    return own_run(model, data, ThreatModel(norm=LINF, eps=EPS), name, batch_size=64, **options)


def graph_call(template: int) -> Call:
    """Return the interpolation of 1,000 queries, with its exact gradient, from so many template points."""
    from model_zoo.graph import Graph, interpolate

    generator = torch.Generator().manual_seed(0)
    centres = torch.randn(10, 64, generator=generator)
    labels = torch.arange(template) % 10
    points = centres[labels] + torch.randn(template, 64, generator=generator)
    y = torch.arange(1000) % 10
    queries = centres[y] + torch.randn(1000, 64, generator=generator)

    def call() -> None:
        query = queries.clone().requires_grad_(True)
        u = interpolate(query, points, labels, classes=10, graph=Graph(m=15, n=8)).u
        torch.autograd.grad(-u.gather(1, y[:, None]).clamp_min(1e-30).log().sum(), query)

    return call


NET = """
import torch
from torch import nn

def make():
    torch.manual_seed(0)
    wide = [nn.Conv2d(1, 64, 3, padding=1), nn.ReLU(), nn.Conv2d(64, 64, 3, padding=1), nn.ReLU()]
    return nn.Sequential(*wide, nn.Flatten(), nn.Linear(4096, 10))
"""

PLAN = """
schema: 1
name: growth
dataset: {name: digits, split: test, limit: 320}
shard: 20
models: [{name: wide, architecture: "net.py:make"}]
threats: [{norm: Linf, eps: 0.0001, attacks: [{pgd: {steps: 200}}]}]
"""


def run_call(workers: int) -> Call:
    """Return a whole `robench run` of 16 jobs in a folder of its own, by so many workers of one thread."""

    def call() -> None:
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / "net.py").write_text(NET)
            (Path(folder) / "growth.yaml").write_text(PLAN)
            words = ["run", "growth.yaml", "--workers", str(workers), "--threads", "1", "--trust-code", "-q"]
            command = [sys.executable, "-m", "robench", *words, "--device", "cpu", "--out", "run"]
            subprocess.run(command, cwd=folder, check=True, capture_output=True)

    return call


SERIES: dict[str, tuple[str, str, Sequence[int], Callable[[int], Call]]] = {
    "images": (
        "PGD-10, ResNet20",
        "images",
        (16, 32, 64, 128, 256),
        lambda size: attack_call("pgd", count=size, steps=10),
    ),
    "pixels": (
        "PGD-10, ResNet20, 32 images",
        "pixels a side",
        (16, 24, 32, 48, 64, 96),
        lambda size: attack_call("pgd", count=32, side=size, steps=10),
    ),
    "classes": (
        "PGD-10, ResNet20, 32 images",
        "classes",
        (10, 30, 100, 300, 1000),
        lambda size: attack_call("pgd", count=32, classes=size, steps=10),
    ),
    "cascade": (
        "`economical_autoattack`, ResNet20, 8 images",
        "classes",
        (10, 100, 1000),
        lambda size: attack_call("economical_autoattack", count=8, classes=size),
    ),
    "template": (
        "WNLL, 1,000 queries, exact gradient",
        "template",
        (1000, 3000, 10_000, 30_000, 50_000),
        graph_call,
    ),
    "workers": ("`robench run`, 16 jobs of PGD-200", "workers", (1, 2), run_call),
}
"""What is measured, by name: the work, what grows, sizes, and a call for each size."""


def measure(name: str, repeats: int) -> Series:
    """Return one series.

    Args:
        name: a key of `SERIES`.
        repeats: counted rounds.
    """
    work, size, sizes, make = SERIES[name]
    clock = time.perf_counter if name == "workers" else time.process_time
    calls = {str(each): make(each) for each in sizes}
    timing = alternate(calls, repeats=repeats, clock=clock)
    return Series(work=work, size=size, seconds={each: timing.median(str(each)) for each in sizes})


def draw(series: Sequence[Series], path: Path) -> None:
    """Write the series as panels of one SVG, both axes logarithmic, a grey line of slope 1 beside them."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    columns = min(3, len(series))
    rows = -(-len(series) // columns)
    with mpl.rc_context({"svg.hashsalt": "robench", "svg.fonttype": "none", "font.size": 9}):
        figure = Figure(figsize=(3.4 * columns, 2.7 * rows), layout="constrained")
        for place, one in enumerate(series, start=1):
            axes = figure.add_subplot(rows, columns, place)
            sizes, seconds = list(one.seconds), list(one.seconds.values())
            axes.loglog(sizes, [seconds[-1] * size / sizes[-1] for size in sizes], color="0.75", linewidth=1)
            axes.loglog(sizes, seconds, marker="o", color="#1f6f8b")
            axes.set_title(f"{one.work.replace('`', '')}\nslope {one.slope:.2f}", fontsize=9)
            axes.set_xlabel(one.size)
            axes.set_ylabel("seconds")
            axes.set_xticks(sizes, [f"{size // 1000}k" if size % 1000 == 0 else str(size) for size in sizes])
            low, high = axes.get_ylim()
            marks = [value for value in _MARKS if low <= value <= high]
            axes.set_yticks(marks, [f"{value:g}" for value in marks])
            axes.minorticks_off()
        figure.savefig(path, format="svg", metadata={"Date": None})


def main() -> None:
    """Print a table of all series, and draw them."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.growth", description=__doc__)
    parser.add_argument("--repeats", type=int, default=3, help="counted rounds (default 3)")
    parser.add_argument("--only", nargs="+", choices=list(SERIES), default=list(SERIES))
    parser.add_argument("--figure", type=Path, help="also draw them into this file")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    keep_freed_memory()
    print("| work | what grows | sizes | seconds | slope |\n|---|---|---|---|---|")
    rows: list[Series] = []
    for series in map(partial(measure, repeats=arguments.repeats), arguments.only):
        print(series.line(), flush=True)
        rows.append(series)
    if arguments.figure:
        draw(rows, arguments.figure)


if __name__ == "__main__":
    main()
