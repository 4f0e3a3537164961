"""APGD, Auto-PGD: projected gradient ascent that chooses its own step sizes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from attacks.shared.options import at_least, finite_radius, share
from attacks.shared.papers import CROCE_L1
from attacks.shared.restarts import strongest
from robench.attack.protocol import AttackInfo
from robench.errors import ConfigError

if TYPE_CHECKING:
    from robench.attack.losses import Loss
    from robench.attack.oracle import Oracle
    from robench.attack.threat import ThreatModel
    from robench.randomness import Randomness
    from robench.types import Images, Labels

BIBTEX = (
    "@inproceedings{croce2020reliable, "
    "title={Reliable evaluation of adversarial robustness with an ensemble of diverse parameter-free "
    "attacks}, author={Croce, Francesco and Hein, Matthias}, booktitle={ICML}, year={2020}}\n" + CROCE_L1
)


def climber(
    oracle: Oracle,
    x: Images,
    *,
    threat: ThreatModel,
    steps: int,
    rho: float,
    momentum: float,
) -> Callable[[Randomness, Loss, Labels | None], Images]:
    """Return one try of Auto-PGD: randomness, loss and labels to the point of highest loss, (B, C, H, W).

    Linf starts uniformly in the ball, L2 uniformly on its sphere, L1 at Gaussian noise projected
    on ball and box.
    """
    from attacks.gradient.apgd_loop import climb
    from attacks.gradient.apgd_sparse_loop import climb_sparsely
    from robench.attack.norms import per_image

    def attempt(rng: Randomness, loss: Loss, labels: Labels | None) -> Images:
        if threat.norm.name == "L1":
            far = x + rng.normal(x)
            return climb_sparsely(oracle, x, far, threat=threat, loss=loss, steps=steps, labels=labels)
        if threat.norm.name == "L2":
            radius = x.new_full((len(x),), threat.eps)
            start = threat.project(x, x + per_image(radius, x) * threat.norm.ascent(rng.normal(x)))
        else:
            start = threat.sample(x, rng)
        return climb(
            oracle, x, start, threat=threat, loss=loss, steps=steps, rho=rho, momentum=momentum, labels=labels
        )

    return attempt


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
        bibtex=BIBTEX,
        norms=("Linf", "L2", "L1"),
        randomised=True,
    )
    steps: int = 100
    restarts: int = 1
    loss: Literal["cross_entropy", "dlr", "margin"] = "cross_entropy"
    rho: float = 0.75
    momentum: float = 0.25

    def __post_init__(self) -> None:
        """Refuse options that mean nothing."""
        at_least(1, steps=self.steps, restarts=self.restarts)
        share(rho=self.rho, momentum=self.momentum)
        if self.loss not in ("cross_entropy", "dlr", "margin"):
            expected = "`cross_entropy`, `dlr` or `margin`"
            raise ConfigError(where="loss", expected=expected, got=repr(self.loss))

    def __call__(
        self, oracle: Oracle, x: Images, y: Labels, *, threat: ThreatModel, rng: Randomness
    ) -> Images:
        """Return the point of highest loss of the strongest try; see `robench.attack.Attack`.

        Raises:
            ConfigError: the radius is infinite.
        """
        from robench.attack.losses import LOSSES

        del y  # the oracle holds the labels
        finite_radius(threat.eps, "APGD")
        loss = LOSSES[self.loss]
        attempt = climber(oracle, x, threat=threat, steps=self.steps, rho=self.rho, momentum=self.momentum)
        return strongest(
            oracle, self.restarts, lambda number: attempt(rng.split("restart", number), loss, None), loss
        )
