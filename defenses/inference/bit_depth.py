"""Bit-depth reduction: fewer grey levels, so that small changes round away. No torch at import."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from defenses.inference.source_names import offered_sources
from defenses.option_checks import require
from robench.model.defense import DefenseInfo
from robench.papers import paper

if TYPE_CHECKING:
    from robench.data.images import ImageSet
    from robench.model.interface import Model


@dataclass(frozen=True, slots=True, kw_only=True)
class BitDepth:
    """Rounds every pixel to one of 2^bits evenly spaced values, black and white among them.

    Guo et al. 2018 (arXiv:1711.00117, section 4.1); Xu, Evans & Qi 2018 (arXiv:1704.01155, section III-A): 1
    bit for MNIST, 5 bits for CIFAR-10. Default: 3 bits, as Guo et al.

    Attributes:
        bits: per channel, 1 to 8.

    Raises:
        ConfigError: an option value is invalid.
    """

    info: ClassVar[DefenseInfo] = DefenseInfo(
        title="Bit-depth reduction",
        paper="Xu, Evans & Qi 2018, arXiv:1704.01155; Guo et al. 2018, arXiv:1711.00117",
        bibtex=paper("xu2018feature", "guo2018countering"),
        stage="inference",
        attacked_through="BPDA: identity backward; and the model without the defense",
    )
    bits: int = 3

    def __post_init__(self) -> None:
        """Refuse a depth that no image has."""
        require(1 <= self.bits <= 8, "bits", "1 to 8", self.bits)

    def offers(self, beneath: Sequence[str]) -> tuple[str, ...]:
        """Name the gradient sources; see `robench.model.InferenceDefense`."""
        return offered_sources(beneath, "bpda")

    def __call__(self, model: Model, *, training_data: Callable[[], ImageSet], seed: int) -> Model:
        """Return the defended model, for images (B, C, H, W); see `robench.model.InferenceDefense`."""
        from defenses.inference.eot import transformed_model
        from defenses.inference.transforms import Quantizer

        del training_data, seed
        return transformed_model(model, Quantizer(self.bits), self)
