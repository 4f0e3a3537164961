"""A training that came to its end, and the cards of the weights it leaves. No torch here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from robench.intake.user_code import is_reference, short_name
from robench.machine import versions
from robench.model.defense import Defense
from robench.plan.spec import ModelSpec, Plan, to_json
from robench.recipe import options_of
from robench.record.exchange.model_card import HeldOut, ModelCard, UnchangedCount
from robench.record.training_history import UNCHANGED, Row, chosen_row, robust_overfitting, unchanged_text
from robench.run.models.training_identity import TrainingIdentity

if TYPE_CHECKING:
    from robench.data.images import ImageSet


@dataclass(frozen=True, slots=True, kw_only=True)
class FinishedTraining:
    """A training that came to its end.

    Attributes:
        plan: what it was part of.
        spec: the model.
        identity: what decides the weights.
        defense: the recipe.
        data: what it was given, held-out part included.
        parameters: numbers in the network that are trained or could be.
        rows: its history.
        seconds: what it took; None if it was not measured.
        unchanged: number of its parameters if it changed none; else 0, and the cards do not speak of it.
    """

    plan: Plan
    spec: ModelSpec
    identity: TrainingIdentity
    defense: Defense
    data: ImageSet
    parameters: int
    rows: Sequence[Row]
    seconds: float | None
    unchanged: int

    def card(self, kind: Literal["chosen", "last"]) -> ModelCard:
        """Return the card of one of its two checkpoints; the file's name and SHA-256 are not on it yet."""
        spec, rows, unchanged_count = self.spec, self.rows, self.unchanged
        assert spec.train is not None  # it was trained
        row = (chosen_row(rows) if kind == "chosen" else rows[-1]) if rows else None
        findings = [robust_overfitting(rows), unchanged_text(unchanged_count) if unchanged_count else ""]
        no_change: UnchangedCount = {UNCHANGED: unchanged_count} if unchanged_count else {}
        options = options_of(self.defense)
        return {
            "name": spec.name,
            "plan": self.plan.name,
            "identity": self.identity.digest(),
            "checkpoint": kind,
            "epoch": None if row is None else row.get("epoch"),
            "epochs": len(rows),
            "held_out": _held_out(row, options),
            "findings": [finding for finding in findings if finding],
            **no_change,
            "architecture": _without_folders(to_json(spec.architecture)),
            "buffer": spec.buffer,
            "normalize": to_json(spec.normalize),
            "parameters": self.parameters,
            "shape": list(self.identity.shape),
            "classes": self.identity.classes,
            "defense": _without_folders({"name": spec.train.defense.name, "options": options}),
            "data": {
                "title": self.data.name,
                **to_json(spec.train.data),
                "images": len(self.data),
                "digest": self.data.digest(),
            },
            "seed": self.plan.seed,
            "seconds": None if self.seconds is None else round(self.seconds, 3),
            "history": "history.csv",
            "versions": versions(),
        }


def _without_folders(choice: Any) -> Any:
    """Return a choice as a card says it: a user's file without its folders, because cards are published."""
    if isinstance(choice, dict) and is_reference(name := str(choice.get("name") or "")):
        return choice | {"name": short_name(name)}
    return choice


def _held_out(row: Row | None, options: Mapping[str, object]) -> HeldOut | None:
    """Return the accuracies of an epoch on the held-out part with n; None if nothing was held out."""
    if row is None or "validation_accuracy" not in row:
        return None
    clean: HeldOut = {"images": row.get("validation_images"), "accuracy": row["validation_accuracy"]}
    if "validation_robust_accuracy" not in row:
        return clean
    has_monitor = options.get("monitor_eps") is not None
    names = {name: f"monitor_{name}" if has_monitor else name for name in ("eps", "norm", "steps")}
    attack = {name: options[option] for name, option in names.items() if option in options}
    return {**clean, "robust_accuracy": row["validation_robust_accuracy"], "attack": attack}
