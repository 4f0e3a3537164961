"""The attacker's knowledge, and the attacks that it excludes. No torch here."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from robench.errors import ConfigError, nearest
from robench.plan.spec import KNOWLEDGE, WEIGHTS


class Denial(NamedTuple):
    """Why an attack cannot be used: what was expected, what came instead, and what to do."""

    expected: str
    got: str
    do: str


def in_order(knowledge: Iterable[str]) -> tuple[str, ...]:
    """Return an attacker's knowledge in the order of KNOWLEDGE.

    Raises:
        ConfigError: an unknown word, the same word twice, or knowledge that is useless without the weights.
    """
    names = tuple(knowledge)
    for position, name in enumerate(names):
        if name not in KNOWLEDGE or name in names[:position]:
            raise ConfigError(
                where="knowledge",
                expected=f"knowledge: different words among {', '.join(KNOWLEDGE)}",
                got=repr(name),
                do=nearest(str(name), [word for word in KNOWLEDGE if word not in names]),
            )
    if names and WEIGHTS not in names:
        raise ConfigError(
            where="knowledge",
            expected="knowledge: weights among what is known, as nothing else helps an attack without them",
            got=", ".join(names),
            do="Add weights, or write [] for an attacker who may only ask the model",
        )
    return tuple(name for name in KNOWLEDGE if name in names)


def denied(info: Any, knowledge: Sequence[str], budget: int | None) -> Denial | None:
    """Return why an attack needs more than a threat allows, None if it does not.

    Args:
        info: the attack's `robench.attack.AttackInfo`.
        knowledge: the attacker's knowledge under the threat.
        budget: most passes on one image; None for no limit.
    """
    if WEIGHTS not in knowledge and info.knowledge == "gradient":
        return Denial(
            "an attack that asks for scores or labels only, as the weights are not known",
            f"{info.title}, which needs gradients",
            "Use square, spsa or hopskipjump, or add weights to `knowledge`",
        )
    if budget is not None and info.library != "robench":
        return Denial(
            "an attack of robench's own, which can be stopped at a budget",
            f"{info.title} of {info.library}",
            "Remove the attack or the budget",
        )
    return None
