"""The attacker's region, a ball around each image inside the box, and minima of linear functions on it.

Ball and box include the judge's tolerance and rounding (`ThreatModel.admits`), so that no image that it
admits or projects to is outside. Under L2 and L1 the minimum over ball and box together is bounded by
Lagrangian duality: any multiplier gives a valid bound, the best multiplier gives the exact minimum.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from robench.attack.threat import ThreatModel
from robench.bounds.admissible import admissible_radius, outer_box
from robench.bounds.rounding import UNIT, gamma
from robench.bounds.rows import Rows
from robench.types import Coefficients, Images, PerRow, RowMask, RowNumbers

_BISECTIONS = 24
"""Bisection steps towards the best multiplier under L2; every multiplier is valid."""


@dataclass(frozen=True, slots=True)
class Region:
    """Ball and box around each of B images.

    Attributes:
        x: (B, ...) the images.
        low: (B, ...) lowest values of each pixel.
        high: (B, ...) highest values.
        norm: `Linf`, `L2` or `L1`.
        radius: of the ball.
    """

    x: Tensor
    low: Tensor
    high: Tensor
    norm: str
    radius: float

    @classmethod
    def around(cls, x: Images, threat: ThreatModel) -> Region:
        """Return the region a threat model allows around images (B, C, H, W), in float64.

        Raises:
            ConfigError: the radius or the box is not finite, or the norm is none of Linf, L2 and L1.
        """
        radius, (low, high) = admissible_radius(threat, x.shape[1:]), outer_box(threat)
        exact = x.detach().double()
        slack = radius * (1 + 4 * UNIT) + 4 * UNIT * exact.abs()
        return cls(
            exact,
            (exact - slack).clamp(low, high),
            (exact + slack).clamp(low, high),
            threat.norm.name,
            radius,
        )

    def to(self, dtype: torch.dtype) -> Region:
        """Return the same region in another type."""
        return replace(self, x=self.x.to(dtype), low=self.low.to(dtype), high=self.high.to(dtype))

    def of(self, index: RowNumbers | RowMask | slice) -> Region:
        """Return the region of some of the images."""
        return replace(self, x=self.x[index], low=self.low[index], high=self.high[index])

    def least(self, rows: Rows) -> PerRow:
        """Return a lower bound of each function of the pixels, (N,): the exact minimum up to rounding."""
        a = rows.a
        if self.norm == "Linf":
            middle, half = (self.low + self.high) / 2, (self.high - self.low) / 2
            return _products(rows, a, middle) - _products(rows, a.abs(), half)
        low, high = rows.take(self.low), rows.take(self.high)
        x = rows.take(self.x)
        multiplier = self._multiplier(a.detach(), low - x, high - x)
        gain = self._lagrangian(a, multiplier, low - x, high - x)
        return (a * x).flatten(1).sum(dim=1) + gain

    def least_at(self, rows: Rows) -> Coefficients:
        """Return a point (N, ...) near the minimum of each linear function of whole images.

        Under L2 and L1 it may be slightly outside the ball: project it.
        """
        low, high = rows.take(self.low), rows.take(self.high)
        a = rows.a.detach()
        if self.norm == "Linf":
            return torch.where(a > 0, low, high)
        x = rows.take(self.x)
        step = self._step(a, self._multiplier(a, low - x, high - x), low - x, high - x)
        return x + step

    def margin(self, rows: Rows) -> PerRow:
        """Return the largest rounding error of `least`, (N,)."""
        size = self.low.abs().maximum(self.high.abs()).flatten(1).amax(dim=1) + self.radius
        count = rows.a[0].numel() if len(rows) else 0
        return gamma(count + 16) * rows.mass() * rows.share(size)

    def _lagrangian(self, a: Tensor, multiplier: Tensor, low: Tensor, high: Tensor) -> Tensor:
        """Return min over the box of a.d + multiplier (size(d) - radius), below the least over both."""
        step = self._step(a.detach(), multiplier, low, high)
        linear = (a * step).flatten(1).sum(dim=1)
        if self.norm == "L2":
            return linear + multiplier * (step.flatten(1).square().sum(dim=1) - self.radius**2)
        return linear + multiplier * (step.flatten(1).abs().sum(dim=1) - self.radius)

    def _step(self, a: Tensor, multiplier: Tensor, low: Tensor, high: Tensor) -> Tensor:
        """Return the minimiser over the box of a.d + multiplier * size(d), size the square under L2."""
        weight = multiplier.view(-1, *[1] * (a.ndim - 1))
        if self.norm == "L2":
            free = -a / (2 * weight).clamp_min(1e-300 if a.dtype == torch.float64 else 1e-30)
            return torch.minimum(torch.maximum(free, low), high)
        step = torch.where(a > 0, low, high)
        return torch.where(a.abs() > weight, step, torch.zeros_like(step))

    def _multiplier(self, a: Tensor, low: Tensor, high: Tensor) -> Tensor:
        """Return the multiplier (N,) at which the minimiser has the radius; 0 where the box alone binds."""
        if self.norm == "L1":
            return self._threshold(a, low, high)
        size = torch.where(a > 0, low, high).flatten(1)
        free = size.square().sum(dim=1) <= self.radius**2
        # Without the box the minimiser has the radius at |a| / (2 radius); the box only shortens it.
        above = a.flatten(1).square().sum(dim=1).sqrt() / (2 * max(self.radius, 1e-30))
        below = torch.zeros_like(above)
        for _ in range(_BISECTIONS):
            middle = (above + below) / 2
            step = self._step(a, middle, low, high).flatten(1)
            far = step.square().sum(dim=1) > self.radius**2
            below, above = torch.where(far, middle, below), torch.where(far, above, middle)
        return torch.where(free, 0.0, above)

    def _threshold(self, a: Tensor, low: Tensor, high: Tensor) -> Tensor:
        """Return the steepness at which the budget is spent, steepest pixels first."""
        steep, order = a.flatten(1).abs().sort(dim=1, descending=True)
        room = torch.where(a > 0, -low, high).flatten(1).gather(1, order)
        costs = room.cumsum(dim=1)
        place = torch.searchsorted(costs, costs.new_full((len(a), 1), self.radius))
        enough = place < costs.shape[1]
        steepness = steep.gather(1, place.clamp_max(costs.shape[1] - 1))
        return torch.where(enough, steepness, 0.0).squeeze(1)


def _products(rows: Rows, a: Tensor, values: Tensor) -> Tensor:
    """Return the sum of coefficients times values (B, ...) of the image of each function, (N,)."""
    if rows.corner is None and rows.owner is not None and len(a):
        owner, counts = torch.unique_consecutive(rows.owner, return_counts=True)
        if 4 * len(owner) <= len(a):  # one product for all functions of an image, and nothing is copied
            flat, parts = values.flatten(1), torch.split(a.flatten(1), counts.tolist())
            return torch.cat([part @ flat[i] for part, i in zip(parts, owner.tolist(), strict=True)])
    products: Tensor = torch.linalg.vecdot(a.flatten(1), rows.take(values).flatten(1))
    return products
