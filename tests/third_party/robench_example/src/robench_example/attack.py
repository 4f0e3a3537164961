"""Random search: the weakest attack there is, and one that no defense can fool by hiding gradients."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from robench.attack import AttackInfo, Knowledge
from robench.errors import ConfigError

if TYPE_CHECKING:
    from robench.attack import Oracle
    from robench.randomness import Randomness
    from robench.types import Images


@dataclass(frozen=True, slots=True, kw_only=True)
class RandomPoints:
    """Ask about random points of the ball and return the one with the highest loss.

    Attributes:
        tries: number of points.
    """

    info: ClassVar[AttackInfo] = AttackInfo(
        title="Random points",
        paper="robench's documentation",
        norms=("Linf", "L2"),
        knowledge=Knowledge.SCORE,
        randomised=True,
    )
    tries: int = 20

    def __post_init__(self) -> None:
        """Refuse to try nothing."""
        if self.tries < 1:
            raise ConfigError(where="tries", expected="at least 1", got=repr(self.tries))

    def __call__(self, oracle: Oracle, rng: Randomness) -> Images:
        """Return the best point for each image; see `robench.attack.Attack`."""
        import torch

        from robench.attack import margin, per_image

        x, threat = oracle.x, oracle.threat
        best, highest = x, torch.full_like(x[:, 0, 0, 0], -torch.inf)
        for number in range(self.tries):
            if oracle.finished:
                break
            point = threat.sample(x, rng.split("try", number))
            value = oracle.value(margin, point)
            better = value > highest
            best = torch.where(per_image(better, x), point, best)
            highest = torch.where(better, value, highest)
        return best
