"""Networks to be bounded are checked before they are trained, so that a refusal does not come hours later."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from robench.attack.norms import norm_named
from robench.attack.threat import ThreatModel
from robench.model.interface import Model
from robench.plan.bounds import method_of
from robench.plan.spec import ModelSpec, Plan
from robench.run.bounding import Bounding
from robench.run.evaluated_model import EvaluatedModel


def check_untrained(
    plan: Plan,
    untrained: list[str],
    build: Callable[[ModelSpec], Any],
    *,
    shape: tuple[int, int, int],
    classes: int,
) -> None:
    """Read every network with a linear head that will be trained and bounded, with its initial weights.

    Args:
        plan: the plan.
        untrained: names of the models that will be trained.
        build: makes a model's network.
        shape: (C, H, W) of the images.
        classes: number of classes.

    Raises:
        ConfigError: a layer has no bound; it is named, with the model.
    """
    for spec in plan.models:
        columns = [
            (threat, bound)
            for threat in plan.threats
            for bound in threat.bounds
            if not bound.models or spec.name in bound.models
        ]
        if spec.name not in untrained or spec.head.name != "linear" or not columns:
            continue
        threat, bound = columns[0]
        model = Model(name=spec.name, net=build(spec), classes=classes)
        Bounding(
            target=EvaluatedModel(model=model, fingerprint=""),
            threat=ThreatModel(norm=norm_named(threat.norm), eps=threat.eps),
            eps_text=threat.eps_text,
            label=bound.label,
            method=method_of(bound.bound.name, bound.bound.options, where=bound.bound.where),
        ).check(shape)
