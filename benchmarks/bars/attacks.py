"""Bars of attacks beside the same attack of other libraries."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec

import torch
from torch import Tensor

from benchmarks.attacks import CW, PEERS, cw_run, own_run, pgd_run
from benchmarks.bars.race import Race
from benchmarks.bars.table import Row
from robench.attack.losses import cross_entropy
from robench.attack.norms import L2, LINF
from robench.attack.threat import ThreatModel
from robench.data.images import ImageSet
from robench.engines import Engine
from robench.model.interface import Model
from robench.model.prepared import PreparedModel


@dataclass(frozen=True, slots=True)
class Radius:
    """How far an attack may go, and how far in a step, in Linf."""

    eps: float
    step: float


def pgd(
    model: Model,
    data: ImageSet,
    radius: Radius,
    *,
    steps: int,
    repeats: int,
    bars: Mapping[str, float],
    engine: Engine = "auto",
) -> list[Row]:
    """Time PGD on images that stay robust, or nearly all: nobody's work ends early.

    Of a copy that torch compiled, compiling is not counted.
    """
    eps, step = radius.eps, radius.step
    threat = ThreatModel(norm=LINF, eps=eps)
    runs = {"robench": own_run(model, data, threat, "pgd", steps=steps, step_size=step, engine=engine)}
    for peer in PEERS:
        if peer in bars:
            runs[peer] = pgd_run(peer, model, data, eps=eps, step=step, steps=steps)
    race = Race(
        work=f"PGD-{steps}, {model.name}{_engine_in_words(engine)}",
        model=model,
        data=data,
        threat=threat,
        runs=runs,
        repeats=repeats,
    )
    return race.rows(bars)


def verdict_wanted(model: Model, data: ImageSet, radius: Radius, *, repeats: int) -> list[Row]:
    """Time PGD-20 where only the verdict is wanted: an image that is broken costs us no more passes.

    Once as it is, and once after a try of three long steps, which breaks most images of such a network.
    """
    eps, step = radius.eps, radius.step
    threat = ThreatModel(norm=LINF, eps=eps)
    rows: list[Row] = []
    for work, long_steps in (
        (f"PGD-20, verdict wanted, {model.name}", 0),
        (f"PGD-20, verdict wanted, `long_steps: 3`, {model.name}", 3),
    ):
        runs = {
            "robench": own_run(
                model, data, threat, "pgd", drop=True, steps=20, step_size=step, long_steps=long_steps
            ),
            "torchattacks": pgd_run("torchattacks", model, data, eps=eps, step=step, steps=20),
        }
        race = Race(work=work, model=model, data=data, threat=threat, runs=runs, repeats=repeats)
        rows += race.rows({"torchattacks": 5.0})
    return rows


def carlini_wagner(model: Model, data: ImageSet, *, repeats: int, engine: Engine = "auto") -> list[Row]:
    """Time C&W L2 with 50 steps; ART spends about 1,300 passes an image on them."""
    threat = ThreatModel(norm=L2, eps=float("inf"))
    x, y = data.batch(slice(None))
    runs = {"robench": own_run(model, data, threat, "cw", engine=engine, **CW)}
    runs |= {peer: cw_run(peer, model, data) for peer in PEERS}
    bars = {"torchattacks": 1.5, "foolbox": 1.5, "ART": 15.0}
    if find_spec("adv_lib") is not None:
        adv_lib = import_module("adv_lib.attacks")
        options = {"learning_rate": 0.05, "initial_const": 10.0, "max_iterations": 50}
        runs["adv-lib"] = lambda: adv_lib.carlini_wagner_l2(model.net, x, y, binary_search_steps=1, **options)
        bars["adv-lib"] = 1.5
    work = f"C&W L2, 50 steps, {model.name}{_engine_in_words(engine)}"
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
        "robench": own_run(model, data, threat, "pgd", steps=20, step_size=step),
        "bare loop": bare,
    }
    work = f"PGD-20, all that is no pass, {model.name}, `{name}`"
    race = Race(work=work, model=model, data=data, threat=threat, runs=runs, repeats=repeats)
    return race.rows({"bare loop": 1.03}, at_most=True)


def _engine_in_words(engine: Engine) -> str:
    return "" if engine == "auto" else f", `--engine {engine}`"
