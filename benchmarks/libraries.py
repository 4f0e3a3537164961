"""What running a library's attack through robench costs: the library bare against the attack by name."""

from __future__ import annotations

from functools import partial
from typing import Any

from torch import Tensor

from benchmarks.attacks import Run, pgd_run
from benchmarks.timing import alternate
from robench import plugins
from robench.attack.craft import CraftSettings, craft
from robench.attack.norms import LINF
from robench.attack.threat import ThreatModel
from robench.data.images import ImageSet
from robench.model.interface import Model
from robench.model.prepared import PreparedModel
from robench.model.tested_network import TestedNetwork


def pairs(
    model: Model, data: ImageSet, *, eps: float, step: float, steps: int = 40
) -> dict[str, tuple[Run, Run]]:
    """Return the attack of each library alone and by its name here, ready to run."""
    bare = partial(pgd_run, model=model, data=data, eps=eps, step=step, steps=steps)
    return {
        "torchattacks/PGD": (
            bare("torchattacks"),
            _named(model, data, eps, "torchattacks/PGD", alpha=step, steps=steps),
        ),
        "art/ProjectedGradientDescent": (
            bare("ART"),
            _named(
                model,
                data,
                eps,
                "art/ProjectedGradientDescent",
                eps_step=step,
                max_iter=steps,
                num_random_init=1,
            ),
        ),
        "foolbox/LinfPGD": (
            bare("foolbox"),
            _named(model, data, eps, "foolbox/LinfPGD", abs_stepsize=step, steps=steps),
        ),
    }


def report(model: Model, data: ImageSet, *, eps: float, step: float, repeats: int) -> list[str]:
    """Return a Markdown table: seconds of 40 steps of PGD bare and by name, and the median of the ratios."""
    steps, size = 40, len(data)
    lines = [
        f"### PGD-{steps} of libraries by name, {model.name}, {size} images",
        "",
        "| attack | bare, median s | by name, median s | by name / bare |",
        "|---|---|---|---|",
    ]
    for name, (bare, adapter) in pairs(model, data, eps=eps, step=step, steps=steps).items():
        timing = alternate({"bare": bare, "named": adapter}, repeats=repeats)
        ratio = timing.ratio("named", ours="bare")
        lines.append(
            f"| `{name}` | {timing.median('bare'):.3f} | {timing.median('named'):.3f} | {ratio:.3f} |"
        )
    return [*lines, ""]


def _named(model: Model, data: ImageSet, eps: float, name: str, **options: Any) -> Run:
    attack = plugins.find("attacks", name)(**options)
    x, y = data.batch(slice(None))
    # As in a run: the network stands behind its door, and copies that were proven once are used again.
    target = Model(name=model.name, net=TestedNetwork(model.net), classes=model.classes)
    copies = PreparedModel(target)
    settings = CraftSettings(drop=False, batch_size=len(x))
    threat = ThreatModel(norm=LINF, eps=eps)

    def run() -> Tensor:
        result = craft(
            target, attack, x, y, threat=threat, indices=data.indices, settings=settings, prepared=copies
        )
        return result.x_adv

    return run
