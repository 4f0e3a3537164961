"""A hash of how each model of a plan is made: models that differ only in seed and weights share it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from robench.plan.spec import content_hash

_WEIGHTS = ("name", "checkpoint", "sha256")
"""Fields that name a model or its weights: with another seed a model may load other weights."""


def model_recipes(plan: Any) -> dict[str, str]:
    """Return a hash of how each model of a plan is made, by its name; without the seed and the weights.

    Args:
        plan: contents of `plan.json`; anything else gives an empty dictionary.
    """
    models = plan.get("models") if isinstance(plan, Mapping) else None
    if not isinstance(models, list):
        return {}
    specs = {str(m["name"]): m for m in models if isinstance(m, Mapping) and "name" in m}
    # In a joint graph the images of a batch influence each other, so the shard is part of a model.
    common = {"shard": plan.get("shard")}
    recipes = {}
    for name, spec in specs.items():
        features = specs.get(str(spec.get("features_of")))
        recipes[name] = content_hash(
            [_without_weights(spec, "features_of"), _without_weights(features) if features else None, common]
        )
    return recipes


def _without_weights(spec: Mapping[str, Any], *beside: str) -> dict[str, Any]:
    return {key: value for key, value in spec.items() if key not in (*_WEIGHTS, *beside)}
