"""Feynman-Kac ensembles of ResNets as recipes. No torch at import."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from model_zoo.papers import WANG_FEYNMAN_KAC
from robench.errors import ConfigError
from robench.recipe import Info

if TYPE_CHECKING:
    from torch import nn

_PAPER = "Wang, Yuan, Shi & Osher 2018, arXiv:1811.10745"


@dataclass(frozen=True, slots=True, kw_only=True)
class EnResNet:
    """Ensemble of ResNets of any depth with noise in every block.

    Attributes:
        depth: of every member, 6k + 2.
        members: how many ResNets are averaged; the paper has 1, 2 and 5.
        noise: coefficient of the noise, times the standard deviation of what a block returns.
        seed: of the noise at evaluation.
    """

    info: ClassVar[Info] = Info(title="EnResNet", paper=_PAPER, bibtex=WANG_FEYNMAN_KAC)
    depth: int = 20
    members: int = 5
    noise: float = 0.1
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse an ensemble of none and a negative deviation."""
        check_ensemble(self.members, self.noise)

    def __call__(self, *, channels: int, size: tuple[int, int], classes: int) -> nn.Module:
        """Return the backbone, for images of any size; 64 * members features.

        Raises:
            ConfigError: the depth is not 6k + 2.
        """
        from model_zoo.architectures.en_resnet import EnResNet as Backbone

        del size, classes
        return Backbone(
            channels=channels, depth=self.depth, members=self.members, noise=self.noise, seed=self.seed
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class EnResNet20:
    """Ensemble of ResNet20s with noise in every block, 0.27 million parameters each.

    Attributes:
        members: how many ResNets are averaged; the paper has 1, 2 and 5.
        noise: coefficient of the noise, times the standard deviation of what a block returns.
        seed: of the noise at evaluation.
    """

    info: ClassVar[Info] = Info(title="EnResNet20", paper=_PAPER, bibtex=WANG_FEYNMAN_KAC)
    members: int = 5
    noise: float = 0.1
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse an ensemble of none and a negative deviation."""
        check_ensemble(self.members, self.noise)

    def __call__(self, *, channels: int, size: tuple[int, int], classes: int) -> nn.Module:
        """Return the backbone, for images of any size; 64 * members features."""
        made = EnResNet(depth=20, members=self.members, noise=self.noise, seed=self.seed)
        return made(channels=channels, size=size, classes=classes)


def check_ensemble(members: int, noise: float) -> None:
    """Refuse an ensemble of none and a noise that is no finite number from 0.

    Raises:
        ConfigError: it is one.
    """
    if members < 1:
        raise ConfigError(expected="members of at least 1", got=str(members))
    if not 0 <= noise < float("inf"):
        raise ConfigError(expected="noise of at least 0", got=str(noise))
