"""The parts of a run folder's plan that a board shows. No torch here."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from robench.plan.spec import KNOWN, content_hash
from robench.record.threat_summary import ThreatSummary

BOUNDS = (0.0, 1.0)
"""The box of every plan."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedThreat:
    """One board of a plan: its threat, the radius as the user wrote it, and the labels of its attacks.

    `bounds` are the labels of its bounding methods, each with its models; no models mean all.
    """

    threat: ThreatSummary
    eps_text: str
    attacks: tuple[str, ...]
    bounds: tuple[tuple[str, tuple[str, ...]], ...] = ()

    def of(self, threat: ThreatSummary) -> bool:
        """Tell whether a record's threat is this one; unknown fields of an old record match."""
        mine = self.threat
        knowledge = threat.knowledge is None or set(threat.knowledge) == set(mine.knowledge or ())
        same = (threat.norm, threat.eps, threat.goal, threat.budget)
        return knowledge and same == (mine.norm, mine.eps, mine.goal, mine.budget)


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedRun:
    """The parts of a folder's plan that a board shows.

    Attributes:
        models: names of the rows.
        threats: the boards.
        transfer: whether crafted images are judged on every model, not only on their source.
        fault: why the plan cannot be read; empty if it can.
        seed: distinguishes the runs of one configuration.
        digest: hash of the whole plan, to distinguish plans whose attacks differ only in options.
    """

    models: tuple[str, ...] = ()
    threats: tuple[PlannedThreat, ...] = ()
    transfer: bool = False
    fault: str = ""
    seed: str = ""
    digest: str = ""

    def attacks(self, threat: ThreatSummary) -> tuple[str, ...]:
        """Return the labels of all attacks under a threat, none if the plan does not have the threat."""
        return tuple(dict.fromkeys(label for one in self.threats if one.of(threat) for label in one.attacks))

    def has(self, threat: ThreatSummary) -> bool:
        """Tell whether a threat is one of the plan's."""
        return any(one.of(threat) for one in self.threats)

    def renamed(self, names: Mapping[str, str]) -> PlannedRun:
        """Return the same for models under other names.

        Args:
            names: old to new; two models with the same new name become one.
        """

        def of(models: tuple[str, ...]) -> tuple[str, ...]:
            return tuple(dict.fromkeys(names.get(model, model) for model in models))

        threats = tuple(
            dataclasses.replace(one, bounds=tuple((label, of(models)) for label, models in one.bounds))
            for one in self.threats
        )
        return dataclasses.replace(self, models=of(self.models), threats=threats)

    def asking(self, label: str, other: str) -> PlannedRun:
        """Return the same with another label for an attack."""
        threats = tuple(
            dataclasses.replace(
                one, attacks=tuple(dict.fromkeys(other if name == label else name for name in one.attacks))
            )
            for one in self.threats
        )
        return dataclasses.replace(self, threats=threats)

    def bounds(self, threat: ThreatSummary, model: str) -> tuple[str, ...]:
        """Return the labels of all bounding methods for a model under a threat."""
        every = (bound for one in self.threats if one.of(threat) for bound in one.bounds)
        return tuple(dict.fromkeys(label for label, models in every if not models or model in models))


def planned_run(plan: Any) -> PlannedRun:
    """Return the planned run in `plan.json`; if it is not a plan, a planned run with its fault."""
    try:
        return PlannedRun(
            models=tuple(_text(model["name"]) for model in _list(plan["models"])),
            threats=tuple(map(_threat, _list(plan.get("threats", [])))),
            transfer=_truth(plan.get("transfer", True)),
            seed=str(plan.get("seed")),
            digest=content_hash(plan),
        )
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError, RecursionError) as error:
        return PlannedRun(fault=f"not the plan of a run ({type(error).__name__}: {str(error)[:80]})")


def _threat(spec: Any) -> PlannedThreat:
    eps = float(spec["eps"])
    budget = spec.get("budget")
    if math.isnan(eps) or not (budget is None or type(budget) is int):
        raise ValueError("eps or budget")
    return PlannedThreat(
        threat=ThreatSummary(
            norm=_text(spec["norm"]),
            eps=eps,
            goal=_text(spec.get("goal", "untargeted")),
            bounds=BOUNDS,
            knowledge=tuple(map(_text, _list(spec.get("knowledge", list(KNOWN))))),
            budget=budget,
        ),
        eps_text=_text(spec.get("eps_text", str(eps))),
        attacks=tuple(_text(attack["label"]) for attack in _list(spec.get("attacks", []))),
        bounds=tuple(
            (_text(bound["label"]), tuple(map(_text, _list(bound.get("models", [])))))
            for bound in _list(spec.get("bounds", []))
        ),
    )


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{type(value).__name__} in place of text")
    return value


def _truth(value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError(f"{type(value).__name__} in place of true or false")
    return value


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise TypeError(f"{type(value).__name__} in place of a list")
    return value
