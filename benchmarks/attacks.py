"""PGD-20 and C&W against torchattacks, ART and foolbox: same images, same network, verdicts compared."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from benchmarks.timing import Timing, alternate
from robench import plugins
from robench.attack.craft import CraftSettings, craft
from robench.attack.norms import L2, LINF
from robench.attack.threat import ThreatModel
from robench.data.images import ImageSet
from robench.engines import Engine
from robench.judge.verdict import judge
from robench.model.interface import Model
from robench.model.prepared import PreparedModel
from robench.record.schema import Status

Run = Callable[[], Tensor]
NAMES: dict[Engine, str] = {"compiled": "compiled", "bfloat16": "bfloat16 gradients"}
"""Of engines that have to be asked for, what the names of their copies hold."""

PEERS = ("torchattacks", "ART", "foolbox")


def own_run(
    model: Model,
    data: ImageSet,
    threat: ThreatModel,
    name: str,
    *,
    drop: bool = False,
    batch_size: int | None = None,
    engine: Engine = "auto",
    **options: Any,
) -> Run:
    """Return a run of one of our attacks, as the first on a network: copies are made, and proven.

    Without `drop` it works on every image at every step, as its rivals do. Compiled copies, and those in
    bfloat16, are made once, in the first run, and proven in each.
    """
    attack = plugins.find("attacks", name)(**options)
    x, y = data.batch(slice(None))
    settings = CraftSettings(drop=drop, batch_size=batch_size or len(x))
    copies = PreparedModel(model, engine=engine) if engine in NAMES else None

    def run() -> Tensor:
        result = craft(
            model,
            attack,
            x,
            y,
            threat=threat,
            indices=data.indices,
            settings=settings,
            prepared=copies,
        )
        if engine in NAMES and NAMES[engine] not in result.engine:
            raise RuntimeError(f"expected a copy by {engine}, got `{result.engine}`: {result.not_used}")
        return result.x_adv

    return run


def torchattacks_run(model: Model, data: ImageSet, make: Callable[[Any, Any], Any]) -> Run:
    """Return a run of torchattacks on a copy of the network, of what `make` makes of module and network."""
    import torchattacks

    x, y = data.batch(slice(None))
    attack = make(torchattacks, copy.deepcopy(model.net))
    return lambda: attack(x, y)


def art_run(model: Model, data: ImageSet, make: Callable[[Any, Any], Any]) -> Run:
    """Return a run of ART on a copy of the network, of what `make` makes of `evasion` and classifier."""
    from art.attacks import evasion
    from art.estimators.classification import PyTorchClassifier

    x, y = data.batch(slice(None))
    classifier = PyTorchClassifier(
        copy.deepcopy(model.net),
        torch.nn.CrossEntropyLoss(),
        tuple(data.shape),
        len(data.classes),
        clip_values=(0.0, 1.0),
    )
    attack = make(evasion, classifier)
    return lambda: torch.as_tensor(attack.generate(x.numpy(), y.numpy()))


def foolbox_run(model: Model, data: ImageSet, make: Callable[[Any], Any], eps: float | None) -> Run:
    """Return a run of foolbox on a copy of the network, of what `make` makes of `attacks`."""
    import foolbox

    x, y = data.batch(slice(None))
    their_model = foolbox.PyTorchModel(copy.deepcopy(model.net).eval(), bounds=(0, 1), device="cpu")
    attack = make(foolbox.attacks)

    def run() -> Tensor:
        _, points, _ = attack(their_model, x, y, epsilons=eps)
        x_adv: Tensor = points
        return x_adv

    return run


def pgd_run(library: str, model: Model, data: ImageSet, *, eps: float, step: float, steps: int) -> Run:
    """Return a run of PGD under Linf with a random start, of `torchattacks`, `ART` or `foolbox`."""
    if library == "torchattacks":
        return torchattacks_run(model, data, lambda ta, net: ta.PGD(net, eps=eps, alpha=step, steps=steps))
    if library == "foolbox":
        return foolbox_run(model, data, lambda fb: fb.LinfPGD(abs_stepsize=step, steps=steps), eps)
    return art_run(
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


CW: dict[str, Any] = {"c": 10.0, "kappa": 0.0, "steps": 50, "learning_rate": 0.05}
"""Options of our C&W for `cw_run`."""


def cw_run(library: str, model: Model, data: ImageSet) -> Run:
    """Return a run of C&W L2 with 50 steps, of `torchattacks`, `ART` or `foolbox`."""
    if library == "torchattacks":
        return torchattacks_run(model, data, lambda ta, net: ta.CW(net, c=10, kappa=0, steps=50, lr=0.05))
    if library == "foolbox":
        return foolbox_run(
            model,
            data,
            lambda fb: fb.L2CarliniWagnerAttack(
                binary_search_steps=1, steps=50, stepsize=0.05, initial_const=10.0
            ),
            None,
        )
    return art_run(
        model,
        data,
        lambda art, c: art.CarliniL2Method(
            c, confidence=0.0, learning_rate=0.05, binary_search_steps=1, max_iter=50, initial_const=10.0,
            batch_size=len(data), verbose=False,
        ),
    )  # fmt: skip


def pgd20(model: Model, data: ImageSet, *, eps: float, step_size: float, repeats: int) -> list[str]:
    """Time PGD-20 (random start) of ours and of three peers, and count whom each breaks."""
    threat = ThreatModel(norm=LINF, eps=eps)
    rivals = {"robench": own_run(model, data, threat, "pgd", steps=20, step_size=step_size)}
    rivals |= {name: pgd_run(name, model, data, eps=eps, step=step_size, steps=20) for name in PEERS}
    return _table(f"PGD-20, {model.name}, {len(data)} images", model, data, threat, rivals, repeats)


def cw50(model: Model, data: ImageSet, *, repeats: int) -> list[str]:
    """Time C&W L2 with 50 steps of ours and of three peers; compare sizes and whom each breaks.

    ART spends about 1,300 passes an image on its 50 steps: fewer images and no warm-up keep it bearable.
    """
    threat = ThreatModel(norm=L2, eps=float("inf"))
    rivals = {"robench": own_run(model, data, threat, "cw", **CW)}
    rivals |= {name: cw_run(name, model, data) for name in PEERS}
    title = f"C&W L2, 50 steps, {model.name}, {len(data)} images"
    return _table(title, model, data, threat, rivals, repeats, warmup=0)


def _table(
    title: str,
    model: Model,
    data: ImageSet,
    threat: ThreatModel,
    rivals: dict[str, Run],
    repeats: int,
    *,
    warmup: int = 1,
) -> list[str]:
    timing: Timing = alternate(rivals, repeats=repeats, warmup=warmup)
    lines = [
        f"### {title}",
        "",
        "| library | median s | library / robench | robust | median L2 of broken |",
        "|---|---|---|---|---|",
    ]
    x, y = data.batch(slice(None))
    for name, run in rivals.items():
        verdict = judge(model, x, y, run().detach().float(), threat=threat)
        robust = sum(s is Status.ROBUST for s in verdict.status)
        breaks = torch.tensor([s is Status.BROKEN for s in verdict.status])
        size = f"{float(verdict.l2[breaks].median()):.3f}" if bool(breaks.any()) else "-"
        lines.append(
            f"| {name} | {timing.median(name):.3f} | {timing.ratio(name):.2f} | {robust}/{len(x)} | {size} |"
        )
    return [*lines, ""]
