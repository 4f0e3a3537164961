"""Feature squeezing: reject an image whose outputs change when it is squeezed. No torch at import."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

from defenses.inference.source_names import defended_names, offered_sources
from defenses.option_checks import at_least_one, require
from robench.errors import ConfigError
from robench.model.defense import DefenseInfo
from robench.papers import paper

if TYPE_CHECKING:
    from robench.data.images import ImageSet
    from robench.model.interface import Model


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureSqueezing:
    """Rejects an image if softmax changes too much between the image and a version with less detail.

    Xu, Evans & Qi 2018 (arXiv:1704.01155, section V): the score is the largest L1 distance between the output
    distribution of the image and those of its squeezed versions, rounded to `bits` bits and median-filtered.
    The paper's joint detector: 1 bit and a 2 x 2 median for MNIST; 5 bits, a 2 x 2 median and non-local means
    (left out here) for CIFAR-10; a threshold that rejects 5 % of clean images.

    Attributes:
        bits: of the rounded version, 1 to 8; None leaves it out.
        median: side of the median filter's window, at least 2; None leaves it out.
        threshold: largest score that is accepted, 0 to 2; None takes it from training images.
        false_positives: share of training images that may be rejected, if no threshold is given; below 1.
        calibration: most training images to choose the threshold on, at least 1.

    Raises:
        ConfigError: an option value is invalid.
    """

    info: ClassVar[DefenseInfo] = DefenseInfo(
        title="Feature squeezing",
        paper="Xu, Evans & Qi 2018, arXiv:1704.01155",
        bibtex=paper("xu2018feature"),
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
        """Refuse invalid values."""
        require(self.bits is None or 1 <= self.bits <= 8, "bits", "1 to 8", self.bits)
        require(self.median is None or self.median >= 2, "median", "at least 2", self.median)
        require(self.bits is not None or self.median is not None, "median", "a squeezer left", self.median)
        threshold = self.threshold
        require(threshold is None or 0 <= threshold <= 2, "threshold", "a score from 0 to 2", threshold)
        share = self.false_positives
        require(0 <= share < 1, "false_positives", "a share below 1", share)
        at_least_one(calibration=self.calibration)

    def offers(self, beneath: Sequence[str]) -> tuple[str, ...]:
        """Name the gradient sources; see `robench.model.InferenceDefense`."""
        return offered_sources(beneath, "adaptive")

    def __call__(self, model: Model, *, training_data: Callable[[], ImageSet], seed: int) -> Model:
        """Return the defended model, for images (B, C, H, W); see `robench.model.InferenceDefense`.

        Raises:
            ConfigError: the model rejects images already.
        """
        from defenses.inference.bpda import details_of
        from defenses.inference.eot import undefended_source
        from defenses.inference.squeezed import SqueezedNetwork, adaptive_source, calibrated_threshold
        from defenses.inference.transforms import MedianFilter, Quantizer, Transform
        from robench.model.interface import OutputKind

        if model.rejects:
            raise ConfigError(
                where=f"model {model.name!r}",
                expected="a model that always answers with a class",
                got="one that rejects images",
                do="List feature squeezing once",
            )
        squeezers: list[Transform] = [] if self.bits is None else [Quantizer(self.bits)]
        if self.median is not None:
            squeezers.append(MedianFilter(self.median))
        net = SqueezedNetwork(model.net, squeezers, model.output).to(model.device)
        facts: dict[str, object] = {}
        threshold = self.threshold
        if threshold is None:
            data = training_data()
            threshold = calibrated_threshold(
                net, data, false_positives=self.false_positives, calibration=self.calibration, seed=seed
            )
            facts = {"data_sha256": data.digest(), "seed": seed}
        net.threshold.fill_(threshold)
        names = defended_names(tuple(model.sources), "adaptive")
        sources = [adaptive_source(model.sources[old], net, new) for old, new in names.items()]
        forwards = (1 + len(squeezers)) * model.forwards
        sources.append(undefended_source(model, net, forwards))
        return replace(
            model,
            net=net,
            forwards=forwards,
            output=OutputKind.LOG_PROBABILITIES,
            rejects=True,
            neighbourhood=None,
            features=None,
            sources={source.name: source for source in sources},
            details=details_of(model, self, **facts, threshold_used=threshold),
        )
