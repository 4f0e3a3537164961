"""DI-FGSM: gradients taken at randomly shrunk and shifted images, for examples that transfer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from attacks.gradient.mifgsm import ascend_with_momentum
from attacks.shared.options import at_least, finite_radius, not_negative, positive, share
from robench.attack.protocol import AttackInfo
from robench.papers import paper

if TYPE_CHECKING:
    import torch
    from jaxtyping import Float
    from torch import Tensor

    from robench.attack.losses import Loss
    from robench.attack.oracle import Oracle
    from robench.randomness import Randomness
    from robench.types import Images, PerSample


def diverse_gradient(
    oracle: Oracle, loss: Loss, x_adv: Images, rng: Randomness, *, probability: float, smallest: float
) -> Images:
    """Return the gradient of the loss of a random rescaling T x_adv with respect to x_adv, (B, C, H, W).

    Xie et al. 2019, Eq. 4. Bilinear shrinking and zero padding is a linear map of rows and of columns, so
    T x = R x C' for two small matrices per image, and the chain rule is R' g C.

    Args:
        oracle: access to the model; it evaluates T x_adv, which is rarely in the ball, and then does not
            count as a success.
        loss: the loss to differentiate.
        x_adv: points (B, C, H, W).
        rng: draws a coin, a size and a place for each image.
        probability: probability that an image is rescaled.
        smallest: least size of the shrunk image as a share of the side, above 0 and at most 1.
    """
    rows, columns = rescaling(x_adv, rng, probability=probability, smallest=smallest)
    gradient = oracle.gradient(loss, rows @ x_adv @ columns.mT)
    return rows.mT @ gradient @ columns


def rescaling(
    x: Images, rng: Randomness, *, probability: float, smallest: float
) -> tuple[Float[Tensor, "B 1 H H"], Float[Tensor, "B 1 W W"]]:
    """Draw the matrices R (B, 1, H, H) and C (B, 1, W, W) of a random rescaling of each image.

    The new height is uniform among the integers from smallest * H up to H - 1, the width keeps the
    proportion, the place is uniform; an image that is not rescaled has two identity matrices.
    """
    height, width = x.shape[-2:]
    coin, size, down, right = rng.uniform(x.new_empty(len(x), 4)).unbind(dim=1)
    least = max(int(height * smallest), 1)
    tall = (least + (size * (height - least)).floor()).clamp(max=height)
    narrow = (tall * width / height).round().clamp(1, width)
    identity = coin >= probability
    return (
        _interpolation(height, tall, (down * (height - tall + 1)).floor(), identity).unsqueeze(1),
        _interpolation(width, narrow, (right * (width - narrow + 1)).floor(), identity).unsqueeze(1),
    )


def _interpolation(side: int, length: PerSample, start: PerSample, identity: torch.Tensor) -> torch.Tensor:
    """Return (B, side, side): row i holds the weights with which pixel i of the shrunk, padded line is made.

    Pixel i of `length` lies at (i + 1/2) side / length - 1/2 in the old line, its two neighbours share it,
    and the line is continued by its ends: bilinear interpolation as in torch, `align_corners=False`.
    """
    import torch

    pixels = torch.arange(side, device=length.device, dtype=length.dtype)
    place = pixels[None] - start[:, None]
    source = ((place + 0.5) * side / length[:, None] - 0.5).clamp(0, side - 1)
    weights = (1 - (source[:, :, None] - pixels).abs()).clamp_min(0)
    inside = (place >= 0) & (place < length[:, None])
    weights = weights * inside[:, :, None]
    return torch.where(
        identity[:, None, None], torch.eye(side, device=length.device, dtype=length.dtype), weights
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class DIFGSM:
    """MI-FGSM with gradients taken, with some probability, at a randomly shrunk and zero-padded image.

    Xie et al. 2019 (arXiv:1803.06978), Algorithm of section 3.4: M-DI2-FGSM; decay 0 is DI2-FGSM. The paper
    pads to a larger canvas; here an image keeps its size, for networks that accept no other. Each image has
    its own coin, size and place, drawn in each step.

    Attributes:
        steps: number of steps.
        step_size: length of a step in input units; by default eps / steps.
        decay: share of the past kept in each step, see MI-FGSM.
        probability: probability that an image is rescaled in a step; the paper uses 0.5.
        smallest: least side of the shrunk image, as a share of the side; the paper uses 299 / 330.
    """

    info: ClassVar[AttackInfo] = AttackInfo(
        identity="attacks.difgsm:DIFGSM",
        title="M-DI2-FGSM",
        paper="Xie et al. 2019, arXiv:1803.06978",
        bibtex=paper("xie2019improving"),
        norms=("Linf", "L2"),
        randomised=True,
    )
    steps: int = 10
    step_size: float | None = None
    decay: float = 1.0
    probability: float = 0.5
    smallest: float = 0.9

    def __post_init__(self) -> None:
        """Refuse invalid options."""
        at_least(1, steps=self.steps)
        positive(step_size=self.step_size, smallest=self.smallest)
        not_negative(decay=self.decay)
        share(probability=self.probability, smallest=self.smallest)

    def __call__(self, oracle: Oracle, rng: Randomness) -> Images:
        """Return the last iterate; see `robench.attack.Attack`.

        Raises:
            ConfigError: the radius is infinite.
        """
        from robench.attack.losses import cross_entropy

        finite_radius(oracle.threat.eps, "DI-FGSM")
        return ascend_with_momentum(
            lambda point: diverse_gradient(
                oracle, cross_entropy, point, rng, probability=self.probability, smallest=self.smallest
            ),
            oracle,
            steps=self.steps,
            step_size=self.step_size,
            decay=self.decay,
        )
