"""The evaluation data in fixed pieces, so that a result depends neither on workers nor on resuming."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from robench.data.images import ImageSet, images_hash


@dataclass(frozen=True, slots=True, kw_only=True)
class Shard:
    """A piece of the evaluation data.

    Attributes:
        data: the piece.
        digest: content hash of the piece.
        set_digest: content hash of all images of the evaluation; rows of one board share it.
        total: number of all images of the evaluation.
    """

    data: ImageSet
    digest: str
    set_digest: str
    total: int

    @classmethod
    def split(cls, data: ImageSet, size: int, *, even: bool = False) -> Iterator[Shard]:
        """Yield the data in as few pieces of at most `size` images as possible.

        Args:
            data: the images, in their order.
            size: most images of a piece.
            even: let sizes differ by at most one image, because a joint graph of fewer images is another
                classifier; otherwise all pieces but the last are full.
        """
        parts = [data.subset(rows) for rows in slices(len(data), size, even=even)]
        set_digest = images_hash(data)
        for part in parts:
            yield cls(data=part, digest=images_hash(part), set_digest=set_digest, total=len(data))

    def part(self, images: slice) -> Shard:
        """Return some of its images as a separate shard, for results that depend on each image alone."""
        data = self.data.subset(images)
        return Shard(data=data, digest=images_hash(data), set_digest=self.set_digest, total=self.total)


def slices(count: int, size: int, *, even: bool = False) -> list[slice]:
    """Return the fewest consecutive slices of at most `size` that cover `count` items; see `Shard.split`.

    Example:
        >>> [(p.start, p.stop) for p in slices(1200, 500, even=True)]
        [(0, 400), (400, 800), (800, 1200)]
    """
    if not even:
        return [slice(start, min(start + size, count)) for start in range(0, count, size)]
    number = -(-count // size)
    ends = [count // number * i + min(i, count % number) for i in range(number + 1)] if number else [0]
    return [slice(start, stop) for start, stop in pairwise(ends)]
