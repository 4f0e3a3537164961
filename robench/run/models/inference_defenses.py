"""The inference defenses of a specification: put in front of a model, and named where they do not say it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from robench.data.images import ImageSet
from robench.intake.user_code import is_reference, short_name
from robench.model.defense import InferenceDefense
from robench.model.interface import Model
from robench.model.user_defenses import code_of, defense_of
from robench.plan.spec import ModelSpec
from robench.randomness import seed_from
from robench.recipe import options_of


def undefended(spec: ModelSpec) -> ModelSpec:
    """Return the specification of the model behind the inference defenses.

    Its gradient sources are removed: they belong to the defended model; the undefended model offers others.
    """
    return replace(spec, inference=(), sources=None) if spec.inference else spec


def defended(
    model: Model,
    spec: ModelSpec,
    *,
    training_data: Callable[[], ImageSet],
    seed: int,
    trust_code: bool = False,
) -> Model:
    """Put the specification's inference defenses in front of a model, the first one closest to the image.

    Args:
        model: the trained model with its head.
        spec: names the defenses, and the gradient sources for attacks.
        training_data: returns the training split; called only by defenses that need it.
        seed: the plan's seed.
        trust_code: whether a defense's file may be run.

    Raises:
        ConfigError: a defense cannot be put in front of this model, its file may not be run, or a gradient
            source is not offered.
        InputError: the training images are not suitable.
    """
    for position in reversed(range(len(spec.inference))):
        choice = spec.inference[position]
        defense: InferenceDefense = defense_of(choice, trust_code=trust_code, stage="inference")
        name = short_name(choice.name) if is_reference(choice.name) else choice.name
        model = defense(model, training_data=training_data, seed=seed_from(seed, "inference", position, name))
        if code := code_of(choice.name, trust_code=trust_code, where=choice.where):
            facts = {f"{key}[{position}]": value for key, value in code.items()}
            model = replace(model, details={**model.details, **facts})
    for source in spec.sources or ():
        model.source(source)
    return model


def defenses_in_front(model: Model, spec: ModelSpec, *, trust_code: bool) -> dict[str, Any]:
    """Return the fact `inference` with an entry for each defense of the specification, the outermost first.

    Robench's own defenses write their entries themselves, as part of the model's identity. One of somebody
    else may not; without an entry its model would pass for an undefended one in tables, cards and boards.

    Args:
        model: the defended model.
        spec: names its defenses.
        trust_code: whether a file that a defense is read from may be run.

    Returns:
        Nothing where every defense has its entry.
    """
    own_entries = [entry for entry in model.details.get("inference", ()) if isinstance(entry, dict)]
    if len(own_entries) >= len(spec.inference):
        return {}
    entries = []
    for choice in spec.inference:
        recipe = defense_of(choice, trust_code=trust_code, stage="inference")
        if own_entries and own_entries[0].get("defense") == type(recipe).__name__:
            entries.append(own_entries.pop(0))
        else:
            name = short_name(choice.name) if is_reference(choice.name) else type(recipe).__name__
            entries.append({"defense": name, **options_of(recipe)})
    return {"inference": entries}
