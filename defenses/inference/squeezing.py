"""Feature squeezing: reject an image whose answer changes when it is squeezed. No torch at import."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from defenses.inference.naming import offered
from defenses.papers import XU_SQUEEZING
from defenses.training.options import require
from robench.model.defense import DefenseInfo

if TYPE_CHECKING:
    from robench.data.images import ImageSet
    from robench.model.interface import Model


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureSqueezing:
    """Rejects an image if softmax changes too much between it and a version with less in it.

    Xu, Evans & Qi 2018 (arXiv:1704.01155, section V): the score is the largest L1 distance between the output
    distribution of the image and those of its squeezed versions, rounded to `bits` bits and median-filtered.
    The paper's joint detector: 1 bit and a 2 x 2 median for MNIST; 5 bits, a 2 x 2 median and non-local means
    (left out here) for CIFAR-10; a threshold that rejects 5 % of clean images.

    Attributes:
        bits: of the rounded version, 1 to 8; None leaves it out.
        median: side of the median filter's window; None leaves it out.
        threshold: largest score that is accepted, 0 to 2; None takes it from training images.
        false_positives: share of training images that may be rejected, if no threshold is given.
        calibration: most training images to choose the threshold on.
    """

    info: ClassVar[DefenseInfo] = DefenseInfo(
        title="Feature squeezing",
        paper="Xu, Evans & Qi 2018, arXiv:1704.01155",
        bibtex=XU_SQUEEZING,
        stage="inference",
        attacked_through=(
            "adaptive: the mean distribution of the image and its squeezed versions, BPDA: identity backward "
            "(after He et al. 2017, arXiv:1706.04701); and the model without the defense"
        ),
    )
    bits: int | None = 1
    median: int | None = 2
    threshold: float | None = None
    false_positives: float = 0.05
    calibration: int = 1000

    def __post_init__(self) -> None:
        """Refuse values that mean nothing."""
        require(self.bits is None or 1 <= self.bits <= 8, "bits", "1 to 8", self.bits)
        require(self.median is None or self.median >= 2, "median", "at least 2", self.median)
        require(self.bits is not None or self.median is not None, "median", "a squeezer left", self.median)
        given = self.threshold
        require(given is None or 0 <= given <= 2, "threshold", "a score from 0 to 2", given)
        share = self.false_positives
        require(0 <= share < 1, "false_positives", "a share below 1", share)
        require(self.calibration >= 1, "calibration", "at least 1", self.calibration)

    def offers(self, beneath: Sequence[str]) -> tuple[str, ...]:
        """Name the gradient sources; see `robench.model.InferenceDefense`."""
        return offered(beneath, "adaptive")

    def __call__(self, model: Model, *, training_data: Callable[[], ImageSet], seed: int) -> Model:
        """Return the model behind the defense; see `robench.model.InferenceDefense`.

        Raises:
            ConfigError: the model rejects images already.
        """
        from defenses.inference.squeezed import squeezed

        return squeezed(model, self, training_data=training_data, seed=seed)
