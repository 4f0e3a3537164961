"""What an attack declares about its points, so that its oracle keeps and proposes the right ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(slots=True, kw_only=True)
class Declarations:
    """What an attack declares, before it begins or while it runs.

    Attributes:
        minimise: remember the smallest adversarial point instead of the first.
        confidence: score margin that a stored point should have, set by attacks that need confident points;
            if no point has it, the smallest point that reaches the goal is stored.
        least_lead: the same, relative to the largest lead, in either direction, seen for the image; set by
            attacks that need points that do not depend on rounding, independent of the scale of scores.
        points_belong_together: set by attacks that search one result for all images, such as a universal
            perturbation: no image is dropped, and the last points are proposed unchanged, never mixed with
            earlier ones.
        is_library_attack: set if a library attacks. Its own points are proposed; an earlier point is proposed
            only if it broke an image and the returned point does not.
        has_unassigned_points: set if a library evaluated points that cannot be assigned to images; then the
            number of its points, and the time of a success, are unknown.
    """

    minimise: bool = False
    confidence: float = 0.0
    least_lead: float = 0.0
    points_belong_together: bool = False
    is_library_attack: bool = False
    has_unassigned_points: bool = False

    @property
    def need_margin(self) -> bool:
        """Whether a stored point should have a score margin: a confidence, or else a least lead."""
        return self.confidence > 0 or self.least_lead > 0


def _declaration(name: str) -> Any:
    """Return a property that reads and sets a declaration."""

    def value(oracle: Declaring) -> Any:
        return getattr(oracle.declarations, name)

    def change(oracle: Declaring, value: Any) -> None:
        setattr(oracle.declarations, name, value)

    return property(value, change)


class Declaring:
    """Has the declarations as attributes too: an attack writes `oracle.least_lead = 0.01`."""

    __slots__ = ("declarations",)

    declarations: Declarations
    minimise: bool = _declaration("minimise")
    confidence: float = _declaration("confidence")
    least_lead: float = _declaration("least_lead")
    points_belong_together: bool = _declaration("points_belong_together")
    is_library_attack: bool = _declaration("is_library_attack")
    has_unassigned_points: bool = _declaration("has_unassigned_points")
