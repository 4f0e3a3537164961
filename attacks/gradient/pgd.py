"""PGD, projected gradient descent: IFGSM from random starts."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, ClassVar, Literal

from attacks.gradient.ifgsm import ascend, climb
from attacks.shared.options import at_least, finite_radius, positive
from attacks.shared.tries import strongest
from robench.attack.protocol import AttackInfo
from robench.errors import ConfigError
from robench.papers import paper
from robench.plan import LATER

if TYPE_CHECKING:
    from collections.abc import Callable

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
        long_steps: steps of one more try before the others, of lengths eps, eps/2, eps/4, ... (ours).
            Where only the verdict is wanted, and most images break at once, it saves most of the passes; the
            tries after it are the same as without it.
    """

    info: ClassVar[AttackInfo] = AttackInfo(
        identity="attacks.pgd:PGD",
        title="PGD",
        paper="Madry et al. 2018, arXiv:1706.06083",
        bibtex=paper("madry2018towards"),
        norms=("Linf", "L2"),
        randomised=True,
    )
    steps: int = 40
    step_size: float | None = None
    restarts: int = 1
    random_start: bool = True
    loss: Literal["cross_entropy", "margin"] = "cross_entropy"
    long_steps: int = field(default=0, metadata=LATER)

    def __post_init__(self) -> None:
        """Refuse invalid options."""
        at_least(1, steps=self.steps, restarts=self.restarts)
        at_least(0, long_steps=self.long_steps)
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

        def long_try() -> Images:
            start = threat.sample(x, rng.split("long steps")) if self.random_start else x
            lengths = [eps / 2**step for step in range(self.long_steps)]
            return climb(oracle, start, loss=loss, lengths=lengths)

        tries: list[Callable[[], Images]] = [long_try] if self.long_steps else []
        tries += [partial(attempt, restart) for restart in range(self.restarts)]
        return strongest(oracle, len(tries), lambda number: tries[number](), loss)
