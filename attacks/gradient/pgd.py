"""PGD, projected gradient descent: IFGSM from random starts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from attacks.gradient.ifgsm import ascend
from attacks.shared.options import at_least, finite_radius, positive
from attacks.shared.papers import MADRY
from attacks.shared.tries import strongest
from robench.attack.protocol import AttackInfo
from robench.errors import ConfigError

if TYPE_CHECKING:
    from robench.attack.oracle import Oracle
    from robench.randomness import Randomness
    from robench.types import Images


def madry_step(eps: float, steps: float) -> float:
    """Return 2.5 eps / steps: long enough to reach the ball's far side from any start, with room to move.

    The rule of Madry et al. 2018 (arXiv:1706.06083), section 5 ("resistance for different values of eps").
    """
    return 2.5 * eps / steps


@dataclass(frozen=True, slots=True, kw_only=True)
class PGD:
    """Projected steepest ascent of the loss from random points of the ball.

    Madry et al. 2018 (arXiv:1706.06083), section 2.1; Wang & Osher 2019, Algorithm 3.

    Attributes:
        steps: number of steps of each try.
        step_size: length of a step in input units; by default 2.5 eps / steps.
        restarts: number of tries. Images that a try broke are not tried again where the oracle drops them;
            otherwise the try with the highest final loss is kept for each image.
        random_start: start each try at a uniformly random point of the ball, not at the clean image.
        loss: `cross_entropy`, or `margin`, the score difference of the best wrong class and the label.
    """

    info: ClassVar[AttackInfo] = AttackInfo(
        identity="attacks.pgd:PGD",
        title="PGD",
        paper="Madry et al. 2018, arXiv:1706.06083",
        bibtex=MADRY,
        norms=("Linf", "L2"),
        randomised=True,
    )
    steps: int = 40
    step_size: float | None = None
    restarts: int = 1
    random_start: bool = True
    loss: Literal["cross_entropy", "margin"] = "cross_entropy"

    def __post_init__(self) -> None:
        """Refuse options that mean nothing."""
        at_least(1, steps=self.steps, restarts=self.restarts)
        positive(step_size=self.step_size)
        if self.loss not in ("cross_entropy", "margin"):
            raise ConfigError(where="loss", expected="`cross_entropy` or `margin`", got=repr(self.loss))
        if self.restarts > 1 and not self.random_start:
            raise ConfigError(
                where="restarts",
                expected="1 without a random start, for every try would be the same",
                got=repr(self.restarts),
                do="Set random_start: true or restarts: 1",
            )

    def __call__(self, oracle: Oracle, rng: Randomness) -> Images:
        """Return the last iterate of the strongest try; see `robench.attack.Attack`.

        Raises:
            ConfigError: the radius is infinite.
        """
        from robench.attack.losses import LOSSES

        x, threat = oracle.x, oracle.threat
        eps = finite_radius(threat.eps, "PGD")
        loss = LOSSES[self.loss]
        step_size = madry_step(eps, self.steps) if self.step_size is None else self.step_size

        def attempt(restart: int) -> Images:
            start = threat.sample(x, rng.split("restart", restart)) if self.random_start else x
            return ascend(oracle, start, loss=loss, steps=self.steps, step_size=step_size)

        return strongest(oracle, self.restarts, attempt, loss)
