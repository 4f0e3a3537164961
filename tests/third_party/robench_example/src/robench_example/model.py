"""A network with one hidden layer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from robench.recipe import Info

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True, slots=True, kw_only=True)
class TinyMLP:
    """One hidden layer; robench adds the linear layer, or any other head, on top of it.

    Attributes:
        width: number of features.
    """

    info: ClassVar[Info] = Info(title="Tiny MLP", paper="robench's documentation")
    width: int = 16

    def __call__(self, *, channels: int, size: tuple[int, int], classes: int) -> nn.Module:
        """Return the backbone, which says how many features it has; see `model_zoo.catalog.Architecture`."""
        from torch import nn

        del classes  # known to the head
        height, width = size
        layers = (nn.Flatten(), nn.Linear(channels * height * width, self.width), nn.ReLU())
        backbone = nn.Sequential(*layers)
        backbone.feature_dim = self.width
        return backbone
