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
_MISCLASSIFIED, _FAILED = STATUSES.index(Status.MISCLASSIFIED), STATUSES.index(Status.FAILED)

NOT_FINITE, TIED = -1, -2
"""Stand for no class in the columns `clean` and `adversarial`, as in `robench.model.interface`."""


def robust_images(status: Array, right: Array) -> Array:
    """Return which images count as robust, (n,) of bool: the one rule for all tables and curves.

    An image that was wrong from the start is never robust, whatever the attack's result.

    Args:
        status: the judge's verdicts (n,), as numbers of `STATUSES`.
        right: whether each clean image was classified right, (n,) of bool.
    """
    verdicts: Array = (status == ROBUST) & right
    return verdicts


def statuses_of(clean: Array, adversarial: Array, label: Array, *, classes: int, targeted: bool) -> Array:
    """Return the verdicts that predicted classes stand for, (n,) as numbers of `STATUSES`.

    This is the rule of `robench.judge.verdict.judge` for what a record says, without a network. Of a random
    model the predictions are those of the attacked draw, as in the record.

    Args:
        clean: predicted classes (n,) of the clean images: from 0, `classes` for a rejection, or a negative
            code for no class.
        adversarial: predicted classes (n,) of the attacked images; of a clean evaluation the same images.
        label: true classes (n,).
        classes: how many there are, without the rejection.
        targeted: whether the attacker wanted the class after the true one.
    """
    import numpy as np

    before, after, truth = (column.astype(np.int64) for column in (clean, adversarial, label))
    right = before == truth
    # A tie is a wrong class, a rejection is none; neither is a target.
    success = after == (truth + 1) % classes if targeted else (after != truth) & (after < classes)
    failure = (before == NOT_FINITE) | ((after == NOT_FINITE) & right)
    return np.select([failure, ~right, success], [_FAILED, _MISCLASSIFIED, BROKEN], ROBUST)
