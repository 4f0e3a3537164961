"""The smallest change met of each image, within the radius of a threat or beyond it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from robench.attack.oracle import Oracle
    from robench.types import Images


class SmallestChange:
    """Where an attack that looks for small changes goes on from; the oracle remembers what counts.

    Under a radius the oracle forgets points outside it. But values of such a point can be taken back until it
    is inside: a search for the smallest change must not know of the radius.

    Args:
        oracle: the road to the model.

    Attributes:
        points: (B, C, H, W), the clean image where none was met.
        size: (B,), infinite where none was met.
    """

    def __init__(self, oracle: Oracle) -> None:
        self._oracle = oracle
        self.points = oracle.x.clone()
        self.size = oracle.x.new_full((len(oracle.x),), float("inf"))

    @contextmanager
    def meeting(self, points: Images) -> Iterator[None]:
        """Note which points (B, C, H, W), asked about inside the block, reach the attacker's goal."""
        from robench.attack.norms import per_image

        oracle = self._oracle
        before = oracle.ledger.forwards.clone()
        yield
        sizes = oracle.threat.norm.size(points - oracle.x).to(self.size.dtype)
        is_smaller = oracle.reached & (oracle.ledger.forwards > before) & (sizes < self.size)
        self.points = points.where(per_image(is_smaller, points), self.points)
        self.size = sizes.where(is_smaller, self.size)
