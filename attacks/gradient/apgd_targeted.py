"""APGD-T: Auto-PGD towards each of the likeliest wrong classes, one after another."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from attacks.gradient.apgd import BIBTEX, climber
from attacks.shared.options import at_least, finite_radius, share
from attacks.shared.restarts import strongest
from attacks.shared.targets import likeliest
from robench.attack.protocol import AttackInfo

if TYPE_CHECKING:
    from robench.attack.oracle import Oracle
    from robench.attack.threat import ThreatModel
    from robench.randomness import Randomness
    from robench.types import Images, Labels


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
        bibtex=BIBTEX,
        norms=("Linf", "L2", "L1"),
        randomised=True,
    )
    steps: int = 100
    classes: int = 9
    restarts: int = 1
    rho: float = 0.75
    momentum: float = 0.25

    def __post_init__(self) -> None:
        """Refuse options that mean nothing."""
        at_least(1, steps=self.steps, classes=self.classes, restarts=self.restarts)
        share(rho=self.rho, momentum=self.momentum)

    def __call__(
        self, oracle: Oracle, x: Images, y: Labels, *, threat: ThreatModel, rng: Randomness
    ) -> Images:
        """Return, of all tries, the point with the highest margin; see `robench.attack.Attack`.

        Raises:
            ConfigError: the radius is infinite.
        """
        from robench.attack.losses import score_margin, targeted_dlr
        from robench.attack.threat import Goal

        del y  # the oracle holds the labels
        finite_radius(threat.eps, "APGD-T")
        attempt = climber(oracle, x, threat=threat, steps=self.steps, rho=self.rho, momentum=self.momentum)
        targeted = threat.goal is Goal.TARGETED
        aims = [None] if targeted else likeliest(oracle, x, self.classes)
        loss = score_margin if targeted else targeted_dlr

        def attempt_number(number: int) -> Images:
            aim, restart = divmod(number, self.restarts)
            return attempt(rng.split("class", aim, "restart", restart), loss, aims[aim])

        return strongest(oracle, len(aims) * self.restarts, attempt_number, score_margin)
