"""`python -m benchmarks bars`: the speeds this project wants to hold, each measured beside its rivals.

One process, one thread, processor time, rivals in turn, medians of the pairwise ratios, the same images and
networks. The result is `benchmarks/RESULTS.md` and `benchmarks/results.csv`.
"""

from __future__ import annotations

import csv
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import astuple, dataclass, fields
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks import attacks, public_networks
from benchmarks.timing import alternate
from robench import plugins
from robench.attack.craft import CraftSettings, craft
from robench.attack.losses import cross_entropy
from robench.attack.norms import L2, LINF
from robench.attack.threat import ThreatModel
from robench.data.images import ImageSet
from robench.judge.verdict import judge
from robench.machine import hardware, keep_freed_memory, versions
from robench.model.interface import Model
from robench.model.prepared import PreparedModel
from robench.record.schema import Status

Run = Callable[[], Tensor]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One bar: what was measured, and whether it is met.

    Attributes:
        work: attack, network, images.
        against: the rival.
        bar: what is wanted.
        figure: the median of the pairwise ratios.
        spread: the smallest and the largest of them.
        seconds: medians of processor time, ours and the rival's.
        robust: images that stay robust by our judge, ours and the rival's.
        size: median L2 of the broken, ours and the rival's.
        met: whether the bar is met.
    """

    work: str
    against: str
    bar: str
    figure: str
    spread: str
    seconds: str
    robust: str
    size: str
    met: str


@dataclass(frozen=True, slots=True)
class Radius:
    """How far an attack may go, and how far in a step, in Linf."""

    eps: float
    step: float


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
            figure = statistics.median(pairs)
            rows.append(
                Row(
                    work=f"{self.work}, {len(x)} images",
                    against=name,
                    bar=f"≤ {bar}" if at_most else f"≥ {bar}",
                    figure=f"{figure:.2f}",
                    spread=f"{min(pairs):.2f} to {max(pairs):.2f}",
                    seconds=f"{timing.median('robench'):.2f} / {timing.median(name):.2f}",
                    robust=f"{robust['robench']} / {robust[name]}",
                    size=f"{size['robench']} / {size[name]}",
                    met="yes" if (figure <= bar if at_most else figure >= bar) else "no",
                )
            )
        return rows


def _ours(model: Model, data: ImageSet, threat: ThreatModel, name: str, *, drop: bool, **options: Any) -> Run:
    """Return a run of one of our attacks, as the first on a network: copies are made, and proven."""
    attack = plugins.find("attacks", name)(**options)
    x, y = data.batch(slice(None))
    settings = CraftSettings(drop=drop, batch_size=len(x))
    return lambda: (
        craft(
            model,
            attack,
            x,
            y,
            threat=threat,
            indices=data.indices,
            settings=settings,
            prepared=PreparedModel(model),
        ).x_adv
    )


def pgd(
    model: Model, data: ImageSet, radius: Radius, *, steps: int, repeats: int, bars: Mapping[str, float]
) -> list[Row]:
    """Time PGD on images that stay robust, or nearly all: nobody's work ends early."""
    eps, step = radius.eps, radius.step
    threat = ThreatModel(norm=LINF, eps=eps)
    runs: dict[str, Run] = {
        "robench": _ours(model, data, threat, "pgd", drop=False, steps=steps, step_size=step),
    }
    if "torchattacks" in bars:
        runs["torchattacks"] = attacks.torchattacks_run(
            model, data, lambda ta, net: ta.PGD(net, eps=eps, alpha=step, steps=steps)
        )
    if "ART" in bars:
        runs["ART"] = attacks.art_run(
            model,
            data,
            lambda art, c: art.ProjectedGradientDescent(
                c,
                eps=eps,
                eps_step=step,
                max_iter=steps,
                num_random_init=1,
                batch_size=len(data),
                verbose=False,
            ),
        )
    if "foolbox" in bars:
        runs["foolbox"] = attacks.foolbox_run(
            model, data, lambda fb: fb.LinfPGD(abs_stepsize=step, steps=steps), eps
        )
    race = Race(
        work=f"PGD-{steps}, {model.name}", model=model, data=data, threat=threat, runs=runs, repeats=repeats
    )
    return race.rows(bars)


def verdict_wanted(model: Model, data: ImageSet, radius: Radius, *, repeats: int) -> list[Row]:
    """Time PGD-20 where only the verdict is wanted: an image that is broken costs us no more passes."""
    eps, step = radius.eps, radius.step
    threat = ThreatModel(norm=LINF, eps=eps)
    runs: dict[str, Run] = {
        "robench": _ours(model, data, threat, "pgd", drop=True, steps=20, step_size=step),
        "torchattacks": attacks.torchattacks_run(
            model, data, lambda ta, net: ta.PGD(net, eps=eps, alpha=step, steps=20)
        ),
    }
    work = f"PGD-20, verdict wanted, {model.name}"
    race = Race(work=work, model=model, data=data, threat=threat, runs=runs, repeats=repeats)
    return race.rows({"torchattacks": 5.0})


def carlini_wagner(model: Model, data: ImageSet, *, repeats: int) -> list[Row]:
    """Time C&W L2 with 50 steps; ART spends about 1,300 passes an image on them."""
    threat = ThreatModel(norm=L2, eps=float("inf"))
    x, y = data.batch(slice(None))
    runs: dict[str, Run] = {
        "robench": _ours(
            model, data, threat, "cw", drop=False, c=10.0, kappa=0.0, steps=50, learning_rate=0.05
        ),
        "torchattacks": attacks.torchattacks_run(
            model, data, lambda ta, net: ta.CW(net, c=10, kappa=0, steps=50, lr=0.05)
        ),
        "foolbox": attacks.foolbox_run(
            model,
            data,
            lambda fb: fb.L2CarliniWagnerAttack(
                binary_search_steps=1, steps=50, stepsize=0.05, initial_const=10.0
            ),
            None,
        ),
        "ART": attacks.art_run(
            model,
            data,
            lambda art, c: art.CarliniL2Method(
                c, confidence=0.0, learning_rate=0.05, binary_search_steps=1, max_iter=50, initial_const=10.0,
                batch_size=len(data), verbose=False,
            ),
        ),
    }  # fmt: skip
    bars = {"torchattacks": 1.5, "foolbox": 1.5, "ART": 15.0}
    if find_spec("adv_lib") is not None:
        adv_lib = import_module("adv_lib.attacks")
        options = {"learning_rate": 0.05, "initial_const": 10.0, "max_iterations": 50}
        runs["adv-lib"] = lambda: adv_lib.carlini_wagner_l2(model.net, x, y, binary_search_steps=1, **options)
        bars["adv-lib"] = 1.5
    work = f"C&W L2, 50 steps, {model.name}"
    return Race(work=work, model=model, data=data, threat=threat, runs=runs, repeats=repeats).rows(bars)


def around_passes(model: Model, data: ImageSet, radius: Radius, *, repeats: int) -> list[Row]:
    """Time what is no pass: PGD-20 by the oracle, with its proofs, against a bare loop on the same copy."""
    eps, step = radius.eps, radius.step
    threat = ThreatModel(norm=LINF, eps=eps)
    x, y = data.batch(slice(None))
    copies = PreparedModel(model)
    name = copies.choose(x, [model.source("exact")])

    def bare() -> Tensor:
        with copies.using(name):
            point = (x + torch.empty_like(x).uniform_(-eps, eps)).clamp(0, 1)
            for _ in range(20):
                leaf = point.requires_grad_(True)
                loss = cross_entropy(model.net(leaf), y, model.output).sum()
                (gradient,) = torch.autograd.grad(loss, leaf)
                point = leaf.detach() + step * gradient.sign()
                point = torch.minimum(torch.maximum(point, x - eps), x + eps).clamp(0, 1)
        return point

    runs = {
        "robench": _ours(model, data, threat, "pgd", drop=False, steps=20, step_size=step),
        "bare loop": bare,
    }
    work = f"PGD-20, all that is no pass, {model.name}, `{name}`"
    race = Race(work=work, model=model, data=data, threat=threat, runs=runs, repeats=repeats)
    return race.rows({"bare loop": 1.03}, at_most=True)


def report(root: Path | None, repeats: int, folder: Path, names: Sequence[str] = ()) -> list[str]:
    """Measure bars, write `RESULTS.md` and `results.csv` into a folder, and return the former's lines.

    Args:
        root: the data folder.
        repeats: counted rounds.
        folder: where the results are; rows of this machine that are not measured anew stay.
        names: which of `WORKS`; all by default.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    keep_freed_memory()
    rows = _kept(folder)
    lines: list[str] = []
    try:
        for name in names or WORKS:
            rows |= {(row.work, row.against): row for row in WORKS[name](root, repeats)}
            lines = _written(list(rows.values()), folder)  # after each work, for all of them take long
    finally:
        torch.set_num_threads(threads)
    return lines


def _facts() -> str:
    packages = {name: version for name, version in versions().items() if version != "absent"}
    processor = f"{hardware('cpu')['machine']} ({torch.backends.cpu.get_cpu_capability()})"
    return f"{processor}, one thread; {', '.join(f'{k} {v}' for k, v in packages.items())}"


def _kept(folder: Path) -> dict[tuple[str, str], Row]:
    """Return what was measured on this machine before, by work and rival."""
    path, rows = folder / "results.csv", {}
    if path.is_file():
        with path.open(newline="", encoding="utf-8") as file:
            for line in csv.DictReader(file):
                if line.pop("machine") == _facts():
                    rows[line["work"], line["against"]] = Row(**line)
    return rows


def _written(rows: Sequence[Row], folder: Path) -> list[str]:
    facts = _facts()
    names = [field.name for field in fields(Row)]
    with (folder / "results.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow([*names, "machine"])
        table.writerows([*astuple(row), facts] for row in rows)
    lines = [
        "# Bars of speed",
        "",
        "Made by `python -m benchmarks bars --data-root DIR`: one process, one thread, processor time,",
        "rivals in turn. The figure is the median of the pairwise ratios (rival / ours; of bars that begin",
        "with ≤, ours / rival). Where two numbers stand, the first is ours.",
        "",
        f"Machine: {facts}.",
        "",
        "| " + " | ".join(names) + " |",
        "|" + "---|" * len(names),
        *("| " + " | ".join(astuple(row)) + " |" for row in rows),
    ]
    (folder / "RESULTS.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return lines


ROBUST, TINY = Radius(0.3, 0.03), Radius(1e-4, 1e-5)


def _resnet20(root: Path | None, repeats: int, rival: str, bar: float, steps: int = 20) -> list[Row]:
    net, photos = public_networks.seeded("resnet20", root, 128)
    return pgd(net, photos, TINY, steps=steps, repeats=repeats, bars={rival: bar})


def _resnet18(root: Path | None, repeats: int, rival: str, bar: float) -> list[Row]:
    net, photos = public_networks.seeded("resnet18", root, 128)
    return pgd(net, photos, TINY, steps=20, repeats=min(repeats, 2), bars={rival: bar})


def _small_cnn(root: Path | None, repeats: int) -> list[Row]:
    net, digits = public_networks.small_cnn(root, 256)
    return pgd(net, digits, ROBUST, steps=20, repeats=repeats, bars={"torchattacks": 1.2})


def _natural(root: Path | None, repeats: int) -> list[Row]:
    net, digits = public_networks.natural_small_cnn(root, 500)
    return verdict_wanted(net, digits, ROBUST, repeats=repeats)


def _around(root: Path | None, repeats: int) -> list[Row]:
    net, digits = public_networks.small_cnn(root, 256)
    return around_passes(net, digits, ROBUST, repeats=repeats)


def _carlini_wagner(root: Path | None, repeats: int) -> list[Row]:
    net, digits = public_networks.small_cnn(root, 24)
    return carlini_wagner(net, digits, repeats=min(repeats, 2))


WORKS: dict[str, Callable[[Path | None, int], list[Row]]] = {
    "small_cnn": _small_cnn,
    "resnet20": partial(_resnet20, rival="torchattacks", bar=1.5),
    "resnet20_art": partial(_resnet20, rival="ART", bar=2.4),
    "resnet20_foolbox": partial(_resnet20, rival="foolbox", bar=2.4),
    "resnet18": partial(_resnet18, rival="torchattacks", bar=1.5),
    "resnet18_art": partial(_resnet18, rival="ART", bar=2.4),
    "resnet18_foolbox": partial(_resnet18, rival="foolbox", bar=2.4),
    "natural": _natural,
    "around": _around,
    "cw": _carlini_wagner,
    "resnet20_100": partial(_resnet20, rival="torchattacks", bar=1.5, steps=100),
}
"""What is measured, by name; each alone takes minutes."""
