"""The smallest successful change of each image, inside or outside the radius of a threat."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from robench.attack.oracle import Oracle
    from robench.types import Images


class SmallestChange:
    """The points from which a search for small changes continues; the oracle keeps the points that count.

    Under a radius the oracle drops points outside it. But values of such a point can be reset until it is
    inside: a search for the smallest change must not depend on the radius.

    Args:
        oracle: the way to the model.

    Attributes:
        points: (B, C, H, W), the clean image if there is no such point.
        size: (B,), infinite if there is no such point.
    """

    def __init__(self, oracle: Oracle) -> None:
        self._oracle = oracle
        self.points = oracle.x.clone()
        self.size = oracle.x.new_full((len(oracle.x),), float("inf"))

    @contextmanager
    def meeting(self, points: Images) -> Iterator[None]:
        """Record which points (B, C, H, W), evaluated inside the block, reach the attacker's goal."""
        from robench.attack.norms import per_image

        oracle = self._oracle
        before = oracle.ledger.forwards.clone()
        yield
        sizes = oracle.threat.norm.size(points - oracle.x).to(self.size.dtype)
        is_smaller = oracle.reached & (oracle.ledger.forwards > before) & (sizes < self.size)
        self.points = points.where(per_image(is_smaller, points), self.points)
        self.size = sizes.where(is_smaller, self.size)
