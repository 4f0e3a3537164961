"""One bounding method in a configuration: its options, a label, and its models."""

from __future__ import annotations

from typing import Any, NamedTuple

from robench.errors import nearest
from robench.plan.bounds import METHODS
from robench.plan.entry import label_in, plugin_choice, refusal
from robench.plan.spec import Choice


class BoundEntry(NamedTuple):
    """One bounding method of a threat: its choice, its label, and its models."""

    choice: Choice
    label: str | None
    models: tuple[str, ...]


def bound_entry(value: Any) -> BoundEntry:
    """Read a bounding method: `crown`, or `{crown: {option: value}, label: TEXT, models: [NAME]}`."""
    choice = plugin_choice(value, what="bound", beside=("label", "models"))
    mapping = value if isinstance(value, dict) else {}
    label, models = label_in(value), mapping.get("models")
    if models is not None:
        names = isinstance(models, list) and all(isinstance(name, str) for name in models)
        if not names or not models or len(set(models)) < len(models):
            raise refusal("models", expected="models: different names of models", got=repr(models))
    if choice.name not in METHODS:
        do = nearest(choice.name, METHODS)
        raise refusal(expected=f"a bound: one of {', '.join(METHODS)}", got=repr(choice.name), do=do)
    return BoundEntry(choice, label, tuple(models or ()))
