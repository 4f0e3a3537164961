"""The verdicts on images, and the one rule that decides which images count as robust. No torch here."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]


class Status(StrEnum):
    """The judge's verdict on one image.

    Only `robust` counts as robust; images that were misclassified before any attack, and images for which the
    model or the attack failed, do not.
    """

    ROBUST = "robust"
    BROKEN = "broken"
    MISCLASSIFIED = "misclassified"
    FAILED = "failed"


STATUSES = tuple(sorted(map(str, Status)))
"""Statuses in the order of their numbers in an array."""
ROBUST, BROKEN = STATUSES.index(Status.ROBUST), STATUSES.index(Status.BROKEN)


def robust_images(status: Array, right: Array) -> Array:
    """Return which images count as robust, (n,) of bool: the one rule for all tables and curves.

    An image that was wrong from the start is never robust, whatever the attack's result.

    Args:
        status: the judge's verdicts (n,), as numbers of `STATUSES`.
        right: whether each clean image was classified right, (n,) of bool.
    """
    verdicts: Array = (status == ROBUST) & right
    return verdicts
