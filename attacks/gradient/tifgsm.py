"""TI-FGSM: gradients smoothed over translations, for examples that transfer to defended models."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal, get_args

from attacks.gradient.difgsm import diverse_gradient
from attacks.gradient.mifgsm import ascend_with_momentum
from attacks.shared.options import at_least, finite_radius, not_negative, positive, share
from robench.attack.protocol import AttackInfo
from robench.errors import ConfigError
from robench.papers import paper

if TYPE_CHECKING:
    import torch
    from jaxtyping import Float
    from torch import Tensor

    from robench.attack.oracle import Oracle
    from robench.randomness import Randomness
    from robench.types import Images

Kernel = Literal["gaussian", "linear", "uniform"]

# The Gaussian of the paper's code ends at three standard deviations, whatever its size.
REACH = 3.0


def profile(kernel: Kernel, size: int, like: torch.Tensor) -> Float[Tensor, " taps"]:
    """Return the weights (size,) of a separable smoothing kernel, summing to 1.

    Dong et al. 2019, section 3.3: `uniform`; `linear`, falling to 1 / (k + 1) of its height at its ends, for
    size = 2 k + 1; and `gaussian` up to three standard deviations.
    """
    import torch

    half = (size - 1) / 2
    offset = torch.arange(size, device=like.device, dtype=like.dtype) - half
    match kernel:
        case "gaussian":
            weights = torch.exp(-0.5 * (offset * (REACH / max(half, 1))).square())
        case "linear":
            weights = 1 - offset.abs() / (half + 1)
        case "uniform":
            weights = torch.ones_like(offset)
    return weights / weights.sum()


def smooth(gradient: Images, weights: Float[Tensor, " taps"]) -> Images:
    """Return each channel of (B, C, H, W) convolved with the kernel of that profile, zero beyond the edge."""
    import torch.nn.functional as F

    flat = gradient.flatten(0, 1).unsqueeze(1)
    half = len(weights) // 2
    flat = F.conv2d(flat, weights.view(1, 1, -1, 1), padding=(half, 0))
    return F.conv2d(flat, weights.view(1, 1, 1, -1), padding=(0, half)).view_as(gradient)


@dataclass(frozen=True, slots=True, kw_only=True)
class TIFGSM:
    """M-DI2-FGSM with every gradient convolved with a kernel, which is like attacking translated images.

    Dong et al. 2019 (arXiv:1904.02884), Eq. 8: TI-DIM; probability 0 is TI-MI-FGSM, and with decay 0 also
    TI-BIM.

    Attributes:
        steps: number of steps.
        step_size: length of a step in input units; by default eps / steps.
        decay: share of the past kept in each step, see MI-FGSM.
        probability: probability that an image is rescaled in a step, see DI-FGSM; the paper uses 0.7.
        smallest: least side of the shrunk image, as a share of the side, see DI-FGSM.
        kernel: `gaussian`, `linear` or `uniform`.
        kernel_size: its side in pixels, odd; the paper finds 15 best on ImageNet, small images need less.
    """

    info: ClassVar[AttackInfo] = AttackInfo(
        identity="attacks.tifgsm:TIFGSM",
        title="TI-DIM",
        paper="Dong et al. 2019, arXiv:1904.02884",
        bibtex=paper("dong2019evading"),
        norms=("Linf", "L2"),
        randomised=True,
    )
    steps: int = 10
    step_size: float | None = None
    decay: float = 1.0
    probability: float = 0.7
    smallest: float = 0.9
    kernel: Kernel = "gaussian"
    kernel_size: int = 7

    def __post_init__(self) -> None:
        """Refuse invalid options."""
        at_least(1, steps=self.steps, kernel_size=self.kernel_size)
        positive(step_size=self.step_size, smallest=self.smallest)
        not_negative(decay=self.decay)
        share(probability=self.probability, smallest=self.smallest)
        if self.kernel not in get_args(Kernel):
            raise ConfigError(where="kernel", expected=" or ".join(get_args(Kernel)), got=repr(self.kernel))
        if self.kernel_size % 2 == 0:
            raise ConfigError(where="kernel_size", expected="an odd number", got=repr(self.kernel_size))

    def __call__(self, oracle: Oracle, rng: Randomness) -> Images:
        """Return the last iterate; see `robench.attack.Attack`.

        Raises:
            ConfigError: the radius is infinite.
        """
        from robench.attack.losses import cross_entropy

        finite_radius(oracle.threat.eps, "TI-FGSM")
        weights = profile(self.kernel, self.kernel_size, oracle.x)

        def gradient(point: Images) -> Images:
            rough = diverse_gradient(
                oracle, cross_entropy, point, rng, probability=self.probability, smallest=self.smallest
            )
            return smooth(rough, weights)

        return ascend_with_momentum(
            gradient,
            oracle,
            steps=self.steps,
            step_size=self.step_size,
            decay=self.decay,
        )
