"""Notes the inference defenses in front of a model in its details, also those that add no note themselves."""

from __future__ import annotations

from typing import Any

from robench.intake.user_code import is_reference, short_name
from robench.model.interface import Model
from robench.model.user_defenses import defense_of
from robench.plan.spec import ModelSpec
from robench.recipe import options_of


def defenses_in_front(model: Model, spec: ModelSpec, *, trust_code: bool) -> dict[str, Any]:
    """Return the fact `inference` with an entry for each defense of the specification, the outermost first.

    Robench's own defenses write their entries themselves, as part of the model's identity. Other defenses may
    not; without an entry their model would look undefended in tables, cards and boards.

    Args:
        model: the defended model.
        spec: names its defenses.
        trust_code: whether a defense's file may be run.

    Returns:
        An empty mapping if every defense has its entry.
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
