"""APGD, Auto-PGD: gradient ascent that chooses its own step sizes; APGD-T, the same towards each class."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from attacks.shared.options import at_least, finite_radius, share
from attacks.shared.tries import likeliest, strongest
from robench.attack.protocol import AttackInfo
from robench.errors import ConfigError
from robench.papers import paper

if TYPE_CHECKING:
    from attacks.gradient.apgd_loop import Climb
    from robench.attack.losses import Loss
    from robench.attack.oracle import Oracle
    from robench.randomness import Randomness
    from robench.types import Images, LabelsOrPairs


def random_climb(
    oracle: Oracle, rng: Randomness, loss: Loss, how: Climb, labels: LabelsOrPairs | None = None
) -> Images:
    """Return the point of highest loss of one try of Auto-PGD from a random point, (B, C, H, W).

    Linf starts uniformly in the ball, L2 uniformly on its sphere, L1 at Gaussian noise projected
    on ball and box. `labels` are for a loss that wants others than the oracle's.
    """
    from attacks.gradient.apgd_loop import climb, climb_sparsely
    from robench.attack.norms import per_image

    x, threat = oracle.x, oracle.threat
    if threat.norm.name == "L1":
        return climb_sparsely(oracle, x + rng.normal(x), loss, steps=how.steps, labels=labels)
    if threat.norm.name == "L2":
        radius = x.new_full((len(x),), threat.eps)
        start = threat.project(x, x + per_image(radius, x) * threat.norm.ascent(rng.normal(x)))
    else:
        start = threat.sample(x, rng)
    return climb(oracle, start, loss, how, labels=labels)


@dataclass(frozen=True, slots=True, kw_only=True)
class APGD:
    """Gradient ascent with momentum that halves its step, image by image, when it stops paying.

    Croce & Hein 2020 (arXiv:2003.01690), Algorithm 1; under L1 Croce & Hein 2021 (arXiv:2103.01208), sparse
    steps in balls that shrink to the radius. There is no step size to choose.

    Attributes:
        steps: number of steps of each try.
        restarts: number of tries, each from a random point.
        loss: `cross_entropy`, `dlr`, the scale-free difference of logits ratio, or `margin`.
        rho: share of the steps between two checkpoints that must raise the loss; unused under L1.
        momentum: weight of the last move in the next one, 1 - alpha in the paper; unused under L1.
    """

    info: ClassVar[AttackInfo] = AttackInfo(
        identity="attacks.apgd:APGD",
        title="APGD",
        paper="Croce & Hein 2020, arXiv:2003.01690; Croce & Hein 2021, arXiv:2103.01208",
        bibtex=paper("croce2020reliable", "croce2021mind"),
        norms=("Linf", "L2", "L1"),
        randomised=True,
    )
    steps: int = 100
    restarts: int = 1
    loss: Literal["cross_entropy", "dlr", "margin"] = "cross_entropy"
    rho: float = 0.75
    momentum: float = 0.25

    def __post_init__(self) -> None:
        """Refuse invalid options."""
        at_least(1, steps=self.steps, restarts=self.restarts)
        share(rho=self.rho, momentum=self.momentum)
        if self.loss not in ("cross_entropy", "dlr", "margin"):
            expected = "`cross_entropy`, `dlr` or `margin`"
            raise ConfigError(where="loss", expected=expected, got=repr(self.loss))

    def __call__(self, oracle: Oracle, rng: Randomness) -> Images:
        """Return the point of highest loss of the strongest try; see `robench.attack.Attack`.

        Raises:
            ConfigError: the radius is infinite.
        """
        from attacks.gradient.apgd_loop import Climb
        from robench.attack.losses import LOSSES

        finite_radius(oracle.threat.eps, "APGD")
        loss, how = LOSSES[self.loss], Climb(steps=self.steps, rho=self.rho, momentum=self.momentum)

        def attempt(number: int) -> Images:
            return random_climb(oracle, rng.split("restart", number), loss, how)

        return strongest(oracle, self.restarts, attempt, loss)


@dataclass(frozen=True, slots=True, kw_only=True)
class APGDTargeted:
    """Auto-PGD on the targeted difference of logits ratio, once for each of the likeliest wrong classes.

    Croce & Hein 2020 (arXiv:2003.01690), section 4 and Eq. 7. It is an untargeted attack: any wrong class
    will do. Under a targeted goal there is one class to aim at, and it is APGD on the margin of scores.

    Attributes:
        steps: number of steps of each try.
        classes: how many wrong classes to aim at; fewer where the model has no more.
        restarts: number of tries for each class.
        rho: share of the steps between two checkpoints that must raise the loss; unused under L1.
        momentum: weight of the last move in the next one, 1 - alpha in the paper; unused under L1.
    """

    info: ClassVar[AttackInfo] = AttackInfo(
        identity="attacks.apgd_targeted:APGDTargeted",
        title="APGD-T",
        paper="Croce & Hein 2020, arXiv:2003.01690; Croce & Hein 2021, arXiv:2103.01208",
        bibtex=paper("croce2020reliable", "croce2021mind"),
        norms=("Linf", "L2", "L1"),
        randomised=True,
    )
    steps: int = 100
    classes: int = 9
    restarts: int = 1
    rho: float = 0.75
    momentum: float = 0.25

    def __post_init__(self) -> None:
        """Refuse invalid options."""
        at_least(1, steps=self.steps, classes=self.classes, restarts=self.restarts)
        share(rho=self.rho, momentum=self.momentum)

    def __call__(self, oracle: Oracle, rng: Randomness) -> Images:
        """Return, of all tries, the point with the highest margin; see `robench.attack.Attack`.

        Raises:
            ConfigError: the radius is infinite.
        """
        from attacks.gradient.apgd_loop import Climb
        from robench.attack.losses import score_margin, targeted_dlr
        from robench.attack.threat import Goal

        finite_radius(oracle.threat.eps, "APGD-T")
        how = Climb(steps=self.steps, rho=self.rho, momentum=self.momentum)
        targeted = oracle.threat.goal is Goal.TARGETED
        aims = [None] if targeted else likeliest(oracle, oracle.x, self.classes)
        loss = score_margin if targeted else targeted_dlr

        def attempt(number: int) -> Images:
            aim, restart = divmod(number, self.restarts)
            return random_climb(oracle, rng.split("class", aim, "restart", restart), loss, how, aims[aim])

        return strongest(oracle, len(aims) * self.restarts, attempt, score_margin)
