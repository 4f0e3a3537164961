"""JPEG compression: removes details that the eye does not see, and small changes. No torch at import."""

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
class JPEG:
    """Compresses every image with JPEG and expands it again.

    Guo et al. 2018 (arXiv:1711.00117, section 4.1) and Dziugaite et al. 2016 (arXiv:1608.00853): quality 75.
    Images of one or three channels are coded as grey or colour, others channel by channel.

    Attributes:
        quality: of the compression, 1 to 95, as Pillow counts it.

    Raises:
        ConfigError: an option value is invalid.
    """

    info: ClassVar[DefenseInfo] = DefenseInfo(
        title="JPEG compression",
        paper="Guo et al. 2018, arXiv:1711.00117; Dziugaite et al. 2016, arXiv:1608.00853",
        bibtex=paper("guo2018countering", "dziugaite2016study"),
        stage="inference",
        attacked_through="BPDA: identity backward; and the model without the defense",
    )
    quality: int = 75

    def __post_init__(self) -> None:
        """Refuse a quality Pillow advises against or does not have."""
        require(1 <= self.quality <= 95, "quality", "1 to 95", self.quality)

    def offers(self, beneath: Sequence[str]) -> tuple[str, ...]:
        """Name the gradient sources; see `robench.model.InferenceDefense`."""
        return offered_sources(beneath, "bpda")

    def __call__(self, model: Model, *, training_data: Callable[[], ImageSet], seed: int) -> Model:
        """Return the defended model, for images (B, C, H, W); see `robench.model.InferenceDefense`."""
        from defenses.inference.eot import transformed_model
        from defenses.inference.transforms import Compressor

        del training_data, seed
        return transformed_model(model, Compressor(self.quality), self)
