"""What a model card says of a network that was trained here, as plain data. No torch here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from robench.machine import versions
from robench.model.defense import Defense
from robench.plan.spec import ModelSpec, Plan, content_hash, to_json
from robench.recipe import options_of
from robench.record.training_history import Row, chosen_row, robust_overfitting

if TYPE_CHECKING:
    from robench.data.images import ImageSet


def model_card(
    *,
    plan: Plan,
    spec: ModelSpec,
    identity: dict[str, Any],
    defense: Defense,
    data: ImageSet,
    parameters: int,
    rows: Sequence[Row],
    kind: Literal["chosen", "last"],
) -> dict[str, Any]:
    """Return a card; whoever writes the weights adds the file's name and SHA-256.

    Args:
        plan: what the training was part of.
        spec: the model.
        identity: what decides the weights.
        defense: the recipe.
        data: what it was given, held-out part included.
        parameters: numbers in the network that are trained or could be.
        rows: its history.
        kind: which of the two checkpoints.
    """
    assert spec.train is not None  # it was trained
    row = (chosen_row(rows) if kind == "chosen" else rows[-1]) if rows else None
    doubt = robust_overfitting(rows)
    return {
        "name": spec.name,
        "plan": plan.name,
        "identity": content_hash(identity),
        "checkpoint": kind,
        "epoch": None if row is None else row.get("epoch"),
        "epochs": len(rows),
        "held_out": _held_out(row, options_of(defense)),
        "findings": [doubt] if doubt else [],
        "architecture": to_json(spec.architecture),
        "buffer": spec.buffer,
        "normalize": to_json(spec.normalize),
        "parameters": parameters,
        "shape": identity["shape"],
        "classes": identity["classes"],
        "defense": {"name": spec.train.defense.name, "options": options_of(defense)},
        "data": {
            "title": data.name,
            **to_json(spec.train.data),
            "images": len(data),
            "digest": data.digest(),
        },
        "seed": plan.seed,
        "seconds": round(sum(row.get("seconds", 0.0) for row in rows), 3),
        "history": "history.csv",
        "versions": versions(),
    }


def _held_out(row: Row | None, options: dict[str, Any]) -> dict[str, Any] | None:
    """Return the accuracies of an epoch on the held-out part with n; None if nothing was held out."""
    if row is None or "validation_accuracy" not in row:
        return None
    found = {"images": row.get("validation_images"), "accuracy": row["validation_accuracy"]}
    if "validation_robust_accuracy" not in row:
        return found
    watched = options.get("monitor_eps") is not None
    names = {name: f"monitor_{name}" if watched else name for name in ("eps", "norm", "steps")}
    attack = {name: options[option] for name, option in names.items() if option in options}
    return {**found, "robust_accuracy": row["validation_robust_accuracy"], "attack": attack}
