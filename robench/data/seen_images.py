"""Images whose labels a model knows, from training or as a template: are judged images among them?"""

from __future__ import annotations

from collections.abc import Iterator

import torch

from robench.data.images import ImageSet

_BLOCK = 1024
"""Images that are hashed in one go."""


class SeenImages:
    """The labelled images of sets, as hashes of their pixels rounded to 8 bits: eight bytes for each.

    Exact copies are recognised, crops and noisy copies are not. Images of different shapes are different.

    Args:
        sets: what the model learned from.
    """

    def __init__(self, *sets: ImageSet) -> None:
        self._hashes = frozenset(one for part in sets for one in _hashes(part.labelled()))

    def __or__(self, other: SeenImages) -> SeenImages:
        """Return the images of both."""
        both = SeenImages()
        both._hashes = self._hashes | other._hashes
        return both

    def count(self, data: ImageSet) -> int:
        """Return how many images of a set are among them."""
        return sum(one in self._hashes for one in _hashes(data))


def _hashes(data: ImageSet) -> Iterator[int]:
    for start in range(0, len(data), _BLOCK):
        block = data.images[start : start + _BLOCK].detach().cpu()
        if block.dtype != torch.uint8:
            block = (block.float() * 255).round().to(torch.uint8)
        for row in block.contiguous().numpy():
            yield hash((row.shape, row.tobytes()))
