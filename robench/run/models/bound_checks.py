"""Networks to be bounded are read before models are prepared, so that a refusal does not come hours later."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from typing import Any

from robench.attack.norms import norm_named
from robench.attack.threat import ThreatModel
from robench.bounds.tracing import traced
from robench.errors import JobError
from robench.model.interface import Model
from robench.model.out_of_memory import is_out_of_memory
from robench.plan.bounds import method_of
from robench.plan.spec import BoundSpec, ModelSpec, Plan, ThreatSpec
from robench.run.bounding import Bounding, named_refusal
from robench.run.evaluated_model import EvaluatedModel
from robench.run.models.networks import Networks


def check_bounded(plan: Plan, networks: Networks, failures: Collection[str]) -> None:
    """Read every network that is bounded, before a template or a training.

    Args:
        plan: the plan.
        networks: builds and loads them; those with stored trainings are read with their initial weights.
        failures: names of models that are not tried again.

    Raises:
        ConfigError: a layer has no bound; it is named, with the model.
    """
    names = networks.untrained()
    check_untrained(plan, names, networks.fresh, shape=networks.shape, classes=networks.classes)
    for spec, _, bound in _bounded(plan):
        owner = _owner(plan, spec)
        if owner.name in names or {owner.name, spec.name} & set(failures):
            continue
        module = networks.fresh(owner) if owner.train else _loaded(networks, owner)
        if module is not None:
            _check_layers(spec, bound, module, networks.shape)


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
    for spec, threat, bound in _bounded(plan):
        owner = _owner(plan, spec)
        if owner.name not in untrained:
            continue
        if spec.head.name != "linear":
            _check_layers(spec, bound, build(owner), shape)
            continue
        Bounding(
            target=EvaluatedModel(
                model=Model(name=spec.name, net=build(owner), classes=classes), fingerprint=""
            ),
            threat=ThreatModel(norm=norm_named(threat.norm), eps=threat.eps),
            eps_text=threat.eps_text,
            label=bound.label,
            method=method_of(bound.bound.name, bound.bound.options, where=bound.bound.where),
        ).check(shape)


def _bounded(plan: Plan) -> Iterator[tuple[ModelSpec, ThreatSpec, BoundSpec]]:
    """Return every model that is bounded, with the first threat and the first way to bound it."""
    for spec in plan.models:
        columns = [
            (spec, threat, bound)
            for threat in plan.threats
            for bound in threat.bounds
            if not bound.models or spec.name in bound.models
        ]
        yield from columns[:1]


def _owner(plan: Plan, spec: ModelSpec) -> ModelSpec:
    return next(other for other in plan.models if other.name == (spec.features_of or spec.name))


def _check_layers(spec: ModelSpec, bound: BoundSpec, module: Any, shape: tuple[int, int, int]) -> None:
    with named_refusal(spec.name, bound.bound.name):
        traced(module, shape, features=spec.head.name != "linear")


def _loaded(networks: Networks, spec: ModelSpec) -> Any:
    """Return a network with its weights; None if that fails as a failure of this model alone.

    Whoever prepares the models meets the same failure, and reports it.
    """
    try:
        return networks.network(spec).module
    except (JobError, SystemExit):
        return None
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        return None
