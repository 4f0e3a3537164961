"""The verdict on an image through several gradient sources that is the worst for the model."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from robench.record.schema import Status

CLAIMS = (Status.ROBUST, Status.FAILED, Status.BROKEN, Status.MISCLASSIFIED)
"""Verdicts, the weakest claim first: nothing was found, every answer was NaN, a success was found."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceVerdicts:
    """The result of an attack through one gradient source, image by image.

    Attributes:
        status: a verdict for each image.
        distance: size of each change in the norm of the threat.
    """

    status: Sequence[str]
    distance: Sequence[float]


def strongest(sources: Sequence[SourceVerdicts], *, minimises: bool) -> list[int]:
    """Return for each image the number of the source whose verdict counts; of equal ones the first.

    Args:
        sources: at least one, all of the same images.
        minimises: whether the attack searches the smallest perturbation, so that among sources that broke an
            image the smallest counts.
    """
    places = range(len(sources))

    def strength(place: int, image: int) -> tuple[int, float]:
        status = Status(sources[place].status[image])
        size = sources[place].distance[image] if minimises and status is Status.BROKEN else math.inf
        return CLAIMS.index(status), -size

    return [max(places, key=lambda at: strength(at, image)) for image in range(len(sources[0].status))]
