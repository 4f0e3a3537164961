"""MI-FGSM, the momentum iterative fast gradient sign method, and the loop it shares with DI- and TI-FGSM."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from attacks.shared.options import at_least, finite_radius, not_negative, positive
from robench.attack.protocol import AttackInfo
from robench.papers import paper

if TYPE_CHECKING:
    from robench.attack.oracle import Oracle
    from robench.randomness import Randomness
    from robench.types import Images


def ascend_with_momentum(
    gradient: Callable[[Images], Images],
    oracle: Oracle,
    *,
    steps: int,
    step_size: float | None,
    decay: float,
) -> Images:
    """Climb along a running sum of normalised gradients, from the clean image.

    Dong et al. 2018, Algorithm 1: g <- decay g + gradient / |gradient|_1, then a step along the steepest
    direction of g (its sign under Linf, g itself under L2, their Eq. 6-9), projected onto ball and box.

    Args:
        gradient: gives the loss's gradient at a point, both (B, C, H, W).
        oracle: gives clean images and threat, and shows when no image is left to attack.
        steps: number of steps.
        step_size: their length in input units; by default eps / steps, so that they just reach the sphere.
        decay: share of g that is kept in each step; 0 is IFGSM, 1 keeps everything.

    Returns:
        The last iterate (B, C, H, W), which the model has not evaluated.
    """
    import torch

    from robench.attack.norms import per_image

    x, threat = oracle.x, oracle.threat
    length = threat.eps / steps if step_size is None else step_size
    momentum, x_adv = torch.zeros_like(x), x
    with oracle.ascent():
        for _ in range(steps):
            if oracle.finished:
                break
            direction = gradient(x_adv)
            # The largest entry first: tiny gradients must not underflow when they are summed.
            largest = direction.flatten(1).abs().amax(dim=1)
            direction = direction / per_image(largest.where(largest > 0, 1.0), x)
            total = direction.flatten(1).abs().sum(dim=1)
            momentum = decay * momentum + direction / per_image(total.where(total > 0, 1.0), x)
            x_adv = threat.project(x, x_adv + length * threat.norm.ascent(momentum))
    return x_adv


@dataclass(frozen=True, slots=True, kw_only=True)
class MIFGSM:
    """IFGSM along a decaying sum of past gradients, whose steadier path transfers better to other models.

    Dong et al. 2018 (arXiv:1710.06081), Algorithm 1; under L2 the step follows the normalised sum (Eq. 9).

    Attributes:
        steps: number of steps.
        step_size: length of a step in input units; by default eps / steps, as in the paper.
        decay: share of the past kept in each step; the paper uses 1.
    """

    info: ClassVar[AttackInfo] = AttackInfo(
        identity="attacks.mifgsm:MIFGSM",
        title="MI-FGSM",
        paper="Dong et al. 2018, arXiv:1710.06081",
        bibtex=paper("dong2018boosting"),
        norms=("Linf", "L2"),
    )
    steps: int = 10
    step_size: float | None = None
    decay: float = 1.0

    def __post_init__(self) -> None:
        """Refuse invalid options."""
        at_least(1, steps=self.steps)
        positive(step_size=self.step_size)
        not_negative(decay=self.decay)

    def __call__(self, oracle: Oracle, _rng: Randomness) -> Images:
        """Return the last iterate; see `robench.attack.Attack`.

        Raises:
            ConfigError: the radius is infinite.
        """
        from robench.attack.losses import cross_entropy

        finite_radius(oracle.threat.eps, "MI-FGSM")
        return ascend_with_momentum(
            lambda point: oracle.gradient(cross_entropy, point),
            oracle,
            steps=self.steps,
            step_size=self.step_size,
            decay=self.decay,
        )
