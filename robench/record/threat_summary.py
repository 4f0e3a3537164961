"""The threat of a number, also as text; only numbers under the same threat are comparable."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from robench.plan.spec import KNOWLEDGE, KNOWN, TEMPLATE, WEIGHTS
from robench.record.parts import RecordedThreat


class ThreatSummary(NamedTuple):
    """A threat as plain data; all empty if nothing was attacked.

    Attributes:
        norm: `Linf`, `L2`, `L1` or `L0`, empty for no attack.
        eps: radius; infinity for the smallest perturbation and for no attack.
        goal: `untargeted` or `targeted`.
        bounds: the box of the images; None if unknown.
        knowledge: what the attacker knows beside the model's outputs; None if unknown.
        budget: most passes on one image; None for no limit.
    """

    norm: str = ""
    eps: float = math.inf
    goal: str = ""
    bounds: tuple[float, float] | None = None
    knowledge: tuple[str, ...] | None = None
    budget: int | None = None

    def text(self, eps_text: str = "") -> str:
        """Return the threat in one line, such as `Linf 8/255, untargeted, weights and template known`.

        Args:
            eps_text: the radius as the user wrote it.
        """
        if not self.norm:
            return "no attack"
        return ", ".join(part for part in (self.power(eps_text), self.goal, *self.conditions()) if part)

    def power(self, eps_text: str = "") -> str:
        """Return norm and radius: `Linf 8/255`, or `smallest L2 perturbation` without a radius."""
        if math.isinf(self.eps):
            return f"smallest {self.norm} perturbation"
        return f"{self.norm} {eps_text or radius_text(self.eps)}"

    def conditions(self) -> list[str]:
        """Return the other conditions: the knowledge, the budget, and an unusual box."""
        knowledge = [] if self.knowledge is None else [f"{listed(self.knowledge)} known"]
        return [*knowledge, *self.limits()]

    def limits(self) -> list[str]:
        """Return the budget, and an unusual box."""
        parts = []
        if self.budget is not None:
            # Each attack has its own budget, and again for every gradient source.
            parts.append(
                f"each attempt at most {self.budget} pass{'' if self.budget == 1 else 'es'} per image"
            )
        if self.bounds is not None and self.bounds != (0.0, 1.0):
            parts.append(f"pixels from {self.bounds[0]:g} to {self.bounds[1]:g}")
        return parts


def threat_summary_of(threat: RecordedThreat) -> ThreatSummary:
    """Return the summary of a record's threat; a threat without a norm gives the one of no attack."""
    if not threat.norm:
        return ThreatSummary()
    return ThreatSummary(
        norm=threat.norm,
        eps=float(threat.eps),
        goal=threat.goal,
        bounds=threat.bounds,
        knowledge=threat.knowledge,
        budget=threat.budget,
    )


def listed(knowledge: Sequence[str]) -> str:
    """Return the knowledge as text: `weights and template`, or `only the model's answers` for none."""
    if not knowledge:
        return "only the model's answers"
    names = [n for n in KNOWLEDGE if n in knowledge] + [n for n in knowledge if n not in KNOWLEDGE]
    *most, last = names
    return f"{', '.join(most)} and {last}" if most else last


def plain_text(threat: ThreatSummary, eps_text: str = "", *, graph: bool = False) -> str:
    """Return a threat in one line, without what an attacker knows where that is usual.

    Args:
        threat: the threat.
        eps_text: the radius as the user wrote it.
        graph: whether a model has a graph head, and so a template: then it is said that it is known.
    """
    knowledge = threat.knowledge
    if not graph and knowledge is not None:
        # Without a graph head there is no template that could be known or not.
        knowledge = tuple(word for word in knowledge if word != TEMPLATE)
    if knowledge == (WEIGHTS,) and not graph:
        knowledge = None
    return threat._replace(knowledge=knowledge).text(eps_text)


def radius_text(eps: float) -> str:
    """Return a radius as people write it, where its own text is not known.

    Example:
        >>> radius_text(2 / 255), radius_text(0.3), radius_text(0.2)
        ('2/255', '0.3', '0.2')
    """
    steps = eps * 255
    is_step = 0 < eps < 1 and math.isclose(steps, round(steps), rel_tol=1e-6)
    return f"{round(steps)}/255" if is_step and not math.isclose(eps, round(eps, 3)) else f"{eps:g}"


def setting_text(threat: ThreatSummary) -> str:
    """Return a threat in one line, for models of which it is not known what heads they have."""
    return threat._replace(knowledge=None if threat.knowledge == KNOWN else threat.knowledge).text()
