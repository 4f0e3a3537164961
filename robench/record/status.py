"""The verdicts on images, and the one rule which of them counts as robust. No torch here."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]


class Status(StrEnum):
    """The judge's verdict on one image.

    Only `robust` counts as robust: an image that was misclassified before any attack, and one for which the
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
    """Return which images count as robust, (n,) of bool: this is the one rule for all tables and curves.

    Whatever an attack made of it, an image that was wrong from the start is not robust.

    Args:
        status: the judge's verdicts (n,), as numbers of `STATUSES`.
        right: whether each clean image was classified right, (n,) of bool.
    """
    verdicts: Array = (status == ROBUST) & right
    return verdicts
