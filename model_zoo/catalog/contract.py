"""What a plugin in the group `robench.models` is. No torch at import."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Protocol

from robench.recipe import Info

if TYPE_CHECKING:
    from torch import nn


class Architecture(Protocol):
    """The contract of a plugin in the group `robench.models`."""

    info: ClassVar[Info]

    def __call__(self, *, channels: int, size: tuple[int, int], classes: int) -> nn.Module:
        """Return the network with weights drawn from torch's global generator, which the caller seeds.

        Args:
            channels: C of the images.
            size: (H, W) of the images.
            classes: number of classes; backbones do not need it.

        Raises:
            ConfigError: the network cannot take images of this shape.
        """
        ...
