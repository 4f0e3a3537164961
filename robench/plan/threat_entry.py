"""A threat in a configuration: norm, radii, goal, knowledge, budget, attacks and bounds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Any, NamedTuple, Self

from pydantic import Field, PlainValidator, model_validator

from robench.errors import nearest
from robench.plan.bounds import METHODS
from robench.plan.entry import Entry, Items, Positive, checked, label_in, one_of, plugin_choice, refusal
from robench.plan.knowledge import in_order
from robench.plan.norm_names import NORMS
from robench.plan.radius import WHOLE, read_radius
from robench.plan.spec import KNOWLEDGE, KNOWN, Choice

GOALS = ("untargeted", "targeted")


def _radius(value: Any, *at: int) -> tuple[float, str]:
    """Return a radius and its text; `at` is its position in a list."""
    try:
        return read_radius(value)
    except ValueError:
        expected = "eps: a number of at least 0, a fraction such as 8/255, inf, or a list of finite ones"
        raise refusal(*at, expected=expected, got=repr(value)) from None


def _radii(value: Any) -> dict[float, str]:
    """Return the radii of a threat, each as it was written: one, or several finite ones."""
    if not isinstance(value, list):
        return dict([_radius(value)])
    if not value:
        raise refusal(expected="eps: at least one item", got="an empty list")
    radii: dict[float, str] = {}
    for position, item in enumerate(value):
        eps, text = _radius(item, position)
        if eps == math.inf:
            do = "Give `eps: inf` a threat of its own, with attacks that minimise"
            raise refusal(position, expected="finite radii in a list", got=text, do=do)
        if eps in radii:
            raise refusal(position, expected="each radius once", got=f"{text} a second time")
        radii[eps] = text
    return radii


def _knowledge(value: Any) -> Sequence[str]:
    if not isinstance(value, list):
        do = "Write [] for an attacker who may only ask the model"
        expected = f"knowledge: a list of some of {', '.join(KNOWLEDGE)}"
        raise refusal(expected=expected, got=repr(value), do=do)
    return value


class AttackEntry(NamedTuple):
    """One attack of a threat: the plugin, and its label; None for no label."""

    choice: Choice
    label: str | None


def _attack(value: Any) -> AttackEntry:
    choice = plugin_choice(value, what="attack", beside=("label",))
    return AttackEntry(choice, label_in(value))


class BoundEntry(NamedTuple):
    """One way to bound of a threat: its choice, the label it is given, and the models it is for."""

    choice: Choice
    label: str | None
    models: tuple[str, ...]


def bound_entry(value: Any) -> BoundEntry:
    """Read a way to bound: `crown`, or `{crown: {option: value}, label: TEXT, models: [NAME]}`."""
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


class ThreatEntry(Entry):
    """A norm, one radius or several, and the attacks and bounds under them."""

    title = "a threat"
    norm: Annotated[str, one_of(NORMS)]
    # If the radius is missing, the message explains what a radius is.
    eps: Annotated[dict[float, str], PlainValidator(_radii)] = Field(default=None, validate_default=True)
    goal: Annotated[str, one_of(GOALS)] = "untargeted"
    knowledge: Annotated[tuple[str, ...], PlainValidator(_knowledge), checked(in_order)] = KNOWN
    budget: Positive | None = None
    attacks: Annotated[list[Annotated[AttackEntry, PlainValidator(_attack)]], Items] = Field(default=[])
    bounds: Annotated[list[Annotated[BoundEntry, PlainValidator(bound_entry)]], Items] = Field(default=[])

    @model_validator(mode="after")
    def _attacks_or_bounds(self) -> Self:
        if not self.attacks and not self.bounds:
            raise refusal(expected="the key 'attacks'", got="none", do="Or 'bounds', which certify")
        if self.bounds and self.goal != "untargeted":
            do = "Give bounds a threat of their own"
            raise refusal("bounds", expected="bounds under an untargeted goal", got=self.goal, do=do)
        if self.bounds and self.norm == "L0":
            do = "Give bounds a threat of their own, under Linf, L2 or L1"
            raise refusal("bounds", expected="bounds under a norm", got="L0, which counts values", do=do)
        if self.bounds and math.inf in self.eps:
            do = "Give bounds a threat of their own"
            raise refusal("bounds", expected="bounds under a finite eps", got="inf", do=do)
        return self

    @model_validator(mode="after")
    def _radii_inside_the_box(self) -> Self:
        for position, (eps, text) in enumerate(self.eps.items()):
            if self.norm == "Linf" and 1 < eps < math.inf:
                do = f"Pixels live in [0, 1]: write {eps:g}/255, or inf for no limit"
                raise refusal("eps", position, expected="an Linf radius of at most 1", got=text, do=do)
            if self.norm == "L0" and eps < math.inf and eps != int(eps):
                do = "L0 counts the values of an image that change: write 10 for ten of them"
                raise refusal("eps", position, expected=WHOLE, got=text, do=do)
        return self
