"""FAB-T: FAB towards each of the likeliest wrong classes, for models with many classes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from attacks.minimal.fab import BIBTEX, check, random_start, towards, walk
from attacks.shared.options import at_least
from attacks.shared.targets import likeliest
from robench.attack.protocol import AttackInfo

if TYPE_CHECKING:
    from robench.attack.oracle import Oracle
    from robench.attack.threat import ThreatModel
    from robench.randomness import Randomness
    from robench.types import Images, Labels


@dataclass(frozen=True, slots=True, kw_only=True)
class FABTargeted:
    """FAB on the boundary between the label and one wrong class, for each of the likeliest, one by one.

    Croce & Hein 2020 (arXiv:1907.02044; arXiv:2003.01690, section 5). It is an untargeted attack: any wrong
    class will do, and one gradient a step is enough. Under a targeted goal there is one class to aim at, and
    it is FAB itself.

    Attributes:
        steps: number of steps of each try.
        classes: how many wrong classes to aim at; fewer where the model has no more.
        restarts: number of tries for each class; the first starts at the clean image.
        alpha_max: most weight of the step from the clean image in a step, in [0, 1].
        eta: overshoot beyond the linearised boundary, in [1, 2].
        beta: where an adversarial point is drawn back to, from the clean image (0) to not at all (1).
    """

    info: ClassVar[AttackInfo] = AttackInfo(
        identity="attacks.fab_targeted:FABTargeted",
        title="FAB-T",
        paper="Croce & Hein 2020, arXiv:1907.02044 and arXiv:2003.01690",
        bibtex=BIBTEX,
        norms=("Linf", "L2", "L1"),
        randomised=True,
        minimises=True,
    )
    steps: int = 100
    classes: int = 9
    restarts: int = 1
    alpha_max: float = 0.1
    eta: float = 1.05
    beta: float = 0.9

    def __post_init__(self) -> None:
        """Refuse options that mean nothing."""
        at_least(1, classes=self.classes)
        check(
            steps=self.steps,
            restarts=self.restarts,
            alpha_max=self.alpha_max,
            eta=self.eta,
            beta=self.beta,
        )

    def __call__(
        self, oracle: Oracle, x: Images, y: Labels, *, threat: ThreatModel, rng: Randomness
    ) -> Images:
        """Return the last point, projected; the oracle keeps the smallest; see `robench.attack.Attack`."""
        from robench.attack.losses import score_margin, targeted_margin
        from robench.attack.threat import Goal

        del y  # the oracle holds the labels
        if threat.goal is Goal.TARGETED:
            boundaries = [towards(oracle, score_margin, None)]
        else:
            pairs = likeliest(oracle, x, self.classes)
            boundaries = [towards(oracle, targeted_margin, pair) for pair in pairs]
        point = x
        for number, linearise in enumerate(boundaries):
            for restart in range(self.restarts):
                if oracle.finished:
                    break
                oracle.begin_try()
                stream = rng.split("class", number, "restart", restart)
                point = walk(
                    oracle,
                    x,
                    random_start(oracle, x, threat, stream) if restart else x,
                    linearise,
                    threat=threat,
                    steps=self.steps,
                    alpha_max=self.alpha_max,
                    eta=self.eta,
                    beta=self.beta,
                )
        return threat.project(x, point)
