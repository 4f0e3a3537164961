"""Networks with branches: features, and the linear layer on top of them (paper Fig. 2)."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn

from robench.errors import ConfigError
from robench.types import Images, Outputs

Statistics = tuple[tuple[float, ...], tuple[float, ...]]
"""Per-channel (mean, standard deviation)."""


class Normalize(nn.Module):
    """Subtracts a mean and divides by a standard deviation per channel; nothing here is trained.

    Args:
        mean: (C,) numbers.
        std: (C,) positive numbers.

    Raises:
        ConfigError: lengths differ, or a deviation is not positive.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
        super().__init__()
        if len(mean) != len(std) or not mean or not all(s > 0 for s in std):
            raise ConfigError(
                where="normalize",
                expected="a mean and a positive standard deviation per channel",
                got=f"{mean} and {std}",
            )
        self.register_buffer("mean", torch.tensor(mean).view(-1, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(-1, 1, 1))

    def forward(self, x: Images) -> Images:
        """Map images (B, C, H, W) in [0, 1] to standardised ones of the same shape."""
        return (x - self.mean) / self.std

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        """Refuse weights made for another normalisation, which would silently replace the configured one."""
        errors: list[str] = args[-1]
        for name, own in (("mean", self.mean), ("std", self.std)):
            from_file = state_dict.get(prefix + name)
            if from_file is not None and not torch.allclose(from_file.to(own), own):
                got = f"{from_file.flatten().tolist()}, not {own.flatten().tolist()}"
                errors.append(f"the weights were made for the normalisation {name} {got}")
        super()._load_from_state_dict(state_dict, prefix, *args)


class Normalized(nn.Module):
    """A foreign network kept intact, with a normalisation in front of it.

    Args:
        module: any network; a checkpoint has its `state_dict` keys.
        statistics: per-channel (mean, standard deviation).
    """

    def __init__(self, module: nn.Module, statistics: Statistics) -> None:
        super().__init__()
        self.normalize, self.module = Normalize(*statistics), module

    def forward(self, x: Images) -> Outputs:
        """Map images (B, C, H, W) in [0, 1] to the module's outputs (B, K)."""
        return cast("Outputs", self.module(self.normalize(x)))


class Network(nn.Module):
    """Normalisation, backbone, buffer layer and linear branch (Wang & Osher 2019, Fig. 2).

    Args:
        backbone: images (B, C, H, W) to features (B, `feature_dim`).
        classes: number of classes K.
        buffer: width of the buffer layer (Linear and ReLU), None for none.
        normalize: per-channel (mean, standard deviation), None for none.
        linear: whether there is a linear branch.

    Attributes:
        feature_dim: width D of the features.
        linear: features to logits, or None.
    """

    linear: nn.Linear | None

    def __init__(
        self,
        backbone: nn.Module,
        *,
        classes: int,
        buffer: int | None = None,
        normalize: Statistics | None = None,
        linear: bool = True,
    ) -> None:
        super().__init__()
        width = int(cast("int", backbone.feature_dim))
        self.normalize: nn.Module = Normalize(*normalize) if normalize else nn.Identity()
        self.backbone = backbone
        self.buffer: nn.Module = (
            nn.Sequential(nn.Linear(width, buffer), nn.ReLU()) if buffer else nn.Identity()
        )
        self.feature_dim = buffer or width
        self.linear = nn.Linear(self.feature_dim, classes) if linear else None

    def features(self, x: Images) -> Any:
        """Map images (B, C, H, W) in [0, 1] to features (B, D), after the buffer layer if there is one."""
        return self.buffer(self.backbone(self.normalize(x)))

    def forward(self, x: Images) -> Any:
        """Map images (B, C, H, W) in [0, 1] to logits (B, K), or to the other output of a user's module.

        Raises:
            ConfigError: the network was made without a linear branch.
        """
        if self.linear is None:
            raise ConfigError(
                expected="a network with a linear branch",
                got="features only",
                do="Train it, load a checkpoint, or put the head `wnll` on it",
            )
        return cast("Outputs", self.linear(self.features(x)))
