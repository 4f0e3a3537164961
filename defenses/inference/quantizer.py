"""Rounding of pixels to fewer bits, as bit-depth reduction and feature squeezing do."""

from __future__ import annotations

from typing import Any

from defenses.inference.bpda import Transform
from robench.types import Images


class Quantizer(Transform):
    """Round pixels to `bits` bits: x -> round(x (2^b - 1)) / (2^b - 1).

    Args:
        bits: per channel.
    """

    def __init__(self, bits: int) -> None:
        super().__init__()
        self.levels = 2**bits - 1

    def forward(self, x: Images, shared: Any = None) -> Images:
        """Return rounded images; see `Transform`."""
        del shared
        rounded: Images = (x.clamp(0, 1) * self.levels).round() / self.levels
        return rounded
