"""Networks to be bounded are checked before they are trained, so that a refusal does not come hours later."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from robench.attack.norms import norm_named
from robench.attack.threat import ThreatModel
from robench.bounds.tracing import traced
from robench.model.interface import Model
from robench.plan.bounds import method_of
from robench.plan.spec import ModelSpec, Plan
from robench.run.bounding import Bounding, named_refusal
from robench.run.evaluated_model import EvaluatedModel


def check_untrained(
    plan: Plan,
    untrained: list[str],
    build: Callable[[ModelSpec], Any],
    *,
    shape: tuple[int, int, int],
    classes: int,
) -> None:
    """Read every network that will be trained and bounded, with its initial weights.

    Under another head than the linear one it is read up to its last linear layer: what the head itself can
    bound is known once it has its template.

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
        owner = spec.features_of or spec.name
        if owner not in untrained or not columns:
            continue
        threat, bound = columns[0]
        if spec.head.name != "linear":
            network = build(next(other for other in plan.models if other.name == owner))
            with named_refusal(spec.name, bound.bound.name):
                traced(network, shape, features=True)
            continue
        model = Model(name=spec.name, net=build(spec), classes=classes)
        Bounding(
            target=EvaluatedModel(model=model, fingerprint=""),
            threat=ThreatModel(norm=norm_named(threat.norm), eps=threat.eps),
            eps_text=threat.eps_text,
            label=bound.label,
            method=method_of(bound.bound.name, bound.bound.options, where=bound.bound.where),
        ).check(shape)
