"""The tensor words used in signatures; shapes are stated where they are used."""

from __future__ import annotations

from typing import TypeAlias

from torch import Tensor

Images: TypeAlias = Tensor
"""(B, C, H, W) float, values inside the model's bounds."""
Labels: TypeAlias = Tensor
"""(B,) int64 class indices."""
Outputs: TypeAlias = Tensor
"""(B, K) float model outputs of a declared OutputKind."""
PerSample: TypeAlias = Tensor
"""(B,) float, one number per image."""
Mask: TypeAlias = Tensor
"""(B,) bool, one truth value per image."""
