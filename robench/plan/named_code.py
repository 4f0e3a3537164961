"""The files of code that a plan names, and the consent that running them needs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from robench.intake.user_code import check_consent, is_reference

if TYPE_CHECKING:
    from robench.plan.spec import Choice, Plan


def named_code(plan: Plan) -> Iterator[Choice]:
    """Yield every network, defense and attack of a plan that comes from a file, in the plan's order."""
    choices: list[Choice | None] = []
    for model in plan.models:
        choices += [model.architecture, *([model.train.defense] if model.train else []), *model.inference]
    choices += [attack.attack for threat in plan.threats for attack in threat.attacks]
    yield from (choice for choice in choices if choice is not None and is_reference(choice.name))


def check_allowed(plan: Plan, *, trust_code: bool) -> None:
    """Refuse a plan that names files of code unless the user allowed to run them, before anything is done.

    Raises:
        ConfigError: says which file is the first, and in which line.
    """
    for choice in named_code(plan):
        check_consent(choice.name, trust_code=trust_code, where=choice.where)
