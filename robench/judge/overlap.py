"""Judged images that the model learned from: its accuracy on them says nothing of others."""

from __future__ import annotations

from collections.abc import Callable

from robench.data.images import ImageSet
from robench.data.seen_images import SeenImages
from robench.plurals import counted
from robench.record.schema import Finding

MOST = 0.02
"""Share of the images that may be copies of training images: public data sets hold a few."""


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
