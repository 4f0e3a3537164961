"""IFGSM, the iterative fast gradient sign method, and the loop it shares with FGSM and PGD."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from attacks.shared.options import at_least, positive
from robench.attack.protocol import AttackInfo
from robench.papers import paper

if TYPE_CHECKING:
    from collections.abc import Sequence

    from robench.attack.losses import Loss
    from robench.attack.oracle import Oracle
    from robench.randomness import Randomness
    from robench.types import Images


def ascend(oracle: Oracle, start: Images, *, loss: Loss, steps: int, step_size: float) -> Images:
    """Climb a loss by projected steepest-ascent steps, each one forward and one backward pass.

    Wang & Osher 2019, Eq. 15-16, written for any norm: under Linf the steepest step is the gradient's sign,
    under L2 the normalised gradient (Madry et al. 2018, section 2.1).

    Args:
        oracle: access to the model; after each step the point is projected to its ball and box.
        start: starting points, (B, C, H, W).
        loss: the loss to maximise.
        steps: number of steps.
        step_size: their length in input units, measured in the threat model's norm.

    Returns:
        The last iterate (B, C, H, W), which the model has not evaluated.
    """
    return climb(oracle, start, loss=loss, lengths=[step_size] * steps)


def climb(oracle: Oracle, start: Images, *, loss: Loss, lengths: Sequence[float]) -> Images:
    """Like `ascend`, with a separate length for each step."""
    x_adv, threat = start, oracle.threat
    with oracle.ascent():
        for length in lengths:
            if oracle.finished:
                break
            gradient = oracle.gradient(loss, x_adv)
            x_adv = threat.project(oracle.x, x_adv + length * threat.norm.ascent(gradient))
    return x_adv


@dataclass(frozen=True, slots=True, kw_only=True)
class IFGSM:
    """Steps of fixed length along the gradient's sign, from the clean image, clipped to ball and box.

    Wang & Osher 2019 (arXiv:1907.06800), Eq. 15-16 and 22; under L2 the step follows the normalised gradient.

    Attributes:
        steps: number of steps; the paper uses 40 and 100 on MNIST, 20 and 100 on CIFAR-10.
        step_size: length of a step in input units; the paper uses 0.01 on MNIST, 1/255 on CIFAR-10.
    """

    info: ClassVar[AttackInfo] = AttackInfo(
        identity="attacks.ifgsm:IFGSM",
        title="IFGSM",
        paper="Kurakin et al. 2017, arXiv:1607.02533; Wang & Osher 2019, arXiv:1907.06800, Eq. 15-16",
        bibtex=paper("kurakin2017physical"),
        norms=("Linf", "L2"),
    )
    steps: int = 40
    step_size: float = 0.01

    def __post_init__(self) -> None:
        """Refuse invalid options."""
        at_least(1, steps=self.steps)
        positive(step_size=self.step_size)

    def __call__(self, oracle: Oracle, _rng: Randomness) -> Images:
        """Return the last iterate; see `robench.attack.Attack`."""
        from robench.attack.losses import cross_entropy

        return ascend(oracle, oracle.x, loss=cross_entropy, steps=self.steps, step_size=self.step_size)
