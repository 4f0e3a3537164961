"""Judged images that the model learned from, or that are there several times: poor witnesses of others."""

from __future__ import annotations

from collections.abc import Callable

from robench.data.images import ImageSet
from robench.data.seen_images import SeenImages
from robench.plurals import counted
from robench.record.schema import Finding

MOST = 0.02
"""Share of the images that may be copies of training images: public data sets hold a few."""

MOST_COPIES = 0.05
"""Share of the images that may be copies of other judged ones."""


def copies_in(data: ImageSet) -> tuple[Finding, ...]:
    """Return `copied-images` if more than 5 % of the images are copies of others among them, to the pixel."""
    rows = data.images.contiguous().flatten(1).numpy()
    count = len({row.tobytes() for row in rows})
    if len(rows) - count <= max(MOST_COPIES * len(rows), 1):
        return ()
    return (
        Finding(
            code="copied-images",
            evidence=f"only {count} of {counted(len(rows), 'image')} are different",
            remedy="Intervals, ranks and p values take copies for images of their own: judge each image once",
        ),
    )


def overlap_with(data: ImageSet, seen: Callable[[], SeenImages] | None) -> tuple[Finding, ...]:
    """Return `seen-images` if more than 2 % of the images, and more than one, were learned from.

    Args:
        data: what is judged.
        seen: gives what the model learned from; None where that is not known.
    """
    if seen is None:
        return ()
    count = seen().count(data)
    if count <= max(MOST * len(data), 1):
        return ()
    return (
        Finding(
            code="seen-images",
            evidence=f"it learned from {count} of {counted(len(data), 'image')} with their labels",
            remedy="Judge it on images that are neither in its training data nor in its template",
        ),
    )
