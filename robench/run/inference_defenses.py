"""Inference defenses in front of a trained model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from robench import plugins, recipe
from robench.data.images import ImageSet
from robench.model.defense import InferenceDefense
from robench.model.interface import Model
from robench.plan.spec import ModelSpec
from robench.randomness import seed_from


def undefended(spec: ModelSpec) -> ModelSpec:
    """Return the specification of the model that inference defenses are put in front of.

    The gradient sources it names are those of the defended model; the model beneath offers others.
    """
    return replace(spec, inference=(), sources=None) if spec.inference else spec


def defended(model: Model, spec: ModelSpec, *, training_data: Callable[[], ImageSet], seed: int) -> Model:
    """Put the specification's inference defenses in front of a model, the first one closest to the image.

    Args:
        model: the trained model with its head.
        spec: names the defenses, and the gradient sources to attack through.
        training_data: gives the training split; called only by defenses that need it.
        seed: the plan's seed.

    Raises:
        ConfigError: a defense cannot be put in front of this model, or a gradient source is not offered.
        InputError: the training images will not do.
    """
    for position in reversed(range(len(spec.inference))):
        choice = spec.inference[position]
        kind = plugins.find("defenses", choice.name, where=choice.where)
        defense: InferenceDefense = recipe.build(kind, choice.options, where=choice.where)
        model = defense(
            model, training_data=training_data, seed=seed_from(seed, "inference", position, choice.name)
        )
    for source in spec.sources or ():
        model.source(source)
    return model
