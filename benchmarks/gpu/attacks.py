"""Attacks beside those of their peers, on the same images and judged by the same judge."""

from __future__ import annotations

import copy
import importlib.util
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.gpu.card import EPS, STEP, Call, Card
from benchmarks.timing import alternate
from robench import plugins
from robench.attack.craft import CraftSettings, craft
from robench.attack.norms import LINF
from robench.attack.threat import ThreatModel
from robench.engines import Engine
from robench.judge.verdict import judge
from robench.model.interface import Model
from robench.model.prepared import PreparedModel
from robench.record.schema import Status


@dataclass(frozen=True, slots=True)
class Copies:
    """A call that notes in `engines` which copy was asked, and why no faster one.

    Attributes:
        call: the work.
        engines: one line; empty before the first call.
    """

    call: Call
    engines: list[str]

    def __call__(self) -> Any:
        """Do the work."""
        return self.call()


def _crafted(
    model: Model, x: Tensor, y: Tensor, name: str, eps: float, *, engine: Engine, drop: bool, **options: Any
) -> Copies:
    """Return an attack of ours: CUDA graphs are captured in the first call, other copies made in each."""
    attack = plugins.find("attacks", name)(**options)
    settings = CraftSettings(drop=drop, batch_size=len(x))
    indices, engines = torch.arange(len(x)), list[str]()
    lasting = PreparedModel(model, engine=engine)

    def run() -> Tensor:
        copies = lasting if engine == "graphs" else PreparedModel(model, engine=engine)
        result = craft(
            model, attack, x, y, threat=ThreatModel(norm=LINF, eps=eps), indices=indices, settings=settings,
            prepared=copies,
        )  # fmt: skip
        reasons = "".join(f"; {name}: {reason}" for name, reason in result.not_used.items())
        engines[:] = [f"`{result.engine}`{reasons}"]
        return result.x_adv

    return Copies(run, engines)


def _torchattacks(model: Model, x: Tensor, y: Tensor, make: Callable[[Any, nn.Module], Any]) -> Call:
    import torchattacks

    attack = make(torchattacks, copy.deepcopy(model.net))
    return lambda: attack(x, y)


def _foolbox(model: Model, x: Tensor, y: Tensor, steps: int) -> Call:
    import foolbox

    their_model = foolbox.PyTorchModel(copy.deepcopy(model.net).eval(), bounds=(0, 1), device=x.device)
    attack = foolbox.attacks.LinfPGD(abs_stepsize=STEP, steps=steps)
    return lambda: attack(their_model, x, y, epsilons=EPS)[1]


def _reference(model: Model, x: Tensor, y: Tensor, eps: float) -> Call:
    from pyautoattack import AutoAttack

    net = copy.deepcopy(model.net)

    def run() -> Tensor:
        cascade = AutoAttack(net, norm="Linf", eps=eps, seed=0, version="standard", device=x.device)
        x_adv: Tensor = cascade.run_standard_evaluation(x.clone(), y.clone(), batch_size=len(x))[0]
        return x_adv

    return run


def there(package: str) -> bool:
    """Tell whether a peer is installed; one that is not has no line in a table."""
    return importlib.util.find_spec(package) is not None


def _robust(model: Model, x: Tensor, y: Tensor, x_adv: Tensor, eps: float) -> Tensor:
    verdict = judge(model, x, y, x_adv.detach().float(), threat=ThreatModel(norm=LINF, eps=eps))
    return torch.tensor([status is Status.ROBUST for status in verdict.status])


def _table(
    card: Card,
    title: str,
    model: Model,
    x: Tensor,
    y: Tensor,
    rivals: dict[str, Call],
    eps: float,
    *,
    warmup: int = 1,
) -> list[str]:
    proposals: dict[str, Tensor] = {}

    def kept(name: str, call: Call) -> Call:
        return lambda: proposals.update({name: call()})

    calls = {name: card.waited(kept(name, call)) for name, call in rivals.items()}
    timing = alternate(calls, repeats=card.size.repeats, warmup=warmup)
    robust = {name: _robust(model, x, y, x_adv, eps) for name, x_adv in proposals.items()}
    lines = [
        f"### {title}, {model.name}, {len(x)} images",
        "",
        "| attack | median s | images/s | its time / ours | robust | verdicts unlike `as it is` |",
        "|---|---|---|---|---|---|",
    ]
    for name in rivals:
        seconds = timing.median(name)
        unlike = int((robust[name] != robust["robench, as it is"]).sum())
        lines.append(
            f"| {name} | {seconds:.3f} | {len(x) / seconds:.1f} | {timing.ratio(name):.2f} "
            f"| {int(robust[name].sum())} | {unlike} |"
        )
    engines = [f"- {name}: {one}" for name, call in rivals.items() for one in getattr(call, "engines", [])]
    return [*lines, "", "Networks asked, and why none that comes before:", "", *engines, ""]


def pgd(card: Card, architecture: str, steps: int) -> list[str]:
    """Time PGD with a random start of ours, through copies of each kind and without, and of two peers."""
    model = card.model(architecture)
    x, y = card.images(model, card.size.images[0])
    options: dict[str, Any] = {"steps": steps, "step_size": STEP, "drop": False}
    rivals: dict[str, Call] = {
        "robench": _crafted(model, x, y, "pgd", EPS, engine="auto", **options),
        "robench, as it is": _crafted(model, x, y, "pgd", EPS, engine="eager", **options),
        "robench, bfloat16 gradients": _crafted(model, x, y, "pgd", EPS, engine="bfloat16", **options),
        "robench, CUDA graphs": _crafted(model, x, y, "pgd", EPS, engine="graphs", **options),
    }
    if there("torchattacks"):
        rivals["torchattacks"] = _torchattacks(
            model, x, y, lambda ta, net: ta.PGD(net, eps=EPS, alpha=STEP, steps=steps)
        )
    if there("foolbox"):
        rivals["foolbox"] = _foolbox(model, x, y, steps)
    return _table(card, f"PGD-{steps}, Linf 8/255", model, x, y, rivals, EPS)


def cascades(card: Card, architecture: str) -> list[str]:
    """Time AutoAttack at a radius where FGSM leaves about half: with seeded weights all fall at 8/255."""
    model = card.model(architecture)
    x, y = card.images(model, card.size.images[1])
    eps = EPS
    while eps > 1e-6:
        fgsm = _crafted(model, x, y, "fgsm", eps, engine="eager", drop=False)
        if int(_robust(model, x, y, fgsm(), eps).sum()) * 2 >= len(x):
            break
        eps /= 2
    standard, economical = card.size.cascades
    rivals: dict[str, Call] = {
        "robench": _crafted(model, x, y, "autoattack", eps, engine="auto", drop=True, **standard),
        "robench, as it is": _crafted(model, x, y, "autoattack", eps, engine="eager", drop=True, **standard),
        "robench, economical": _crafted(
            model, x, y, "economical_autoattack", eps, engine="auto", drop=True, **economical
        ),
    }
    if there("pyautoattack"):
        rivals["reference"] = _reference(model, x, y, eps)
    elif there("torchattacks"):
        rivals["torchattacks' copy of the reference"] = _torchattacks(
            model, x, y, lambda ta, net: ta.AutoAttack(net, eps=eps, version="standard", n_classes=10)
        )
    once = replace(card, size=replace(card.size, repeats=1))  # a cascade takes long
    return _table(once, f"AutoAttack, Linf {eps * 255:.3g}/255", model, x, y, rivals, eps, warmup=0)
