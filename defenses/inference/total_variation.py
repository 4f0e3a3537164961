"""Total-variation minimisation: drop pixels at random and fill them in smoothly. No torch at import."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from defenses.inference.source_names import Way, offered_sources
from defenses.option_checks import at_least_one, require
from robench.model.defense import DefenseInfo
from robench.papers import paper

if TYPE_CHECKING:
    from robench.data.images import ImageSet
    from robench.model.interface import Model


@dataclass(frozen=True, slots=True, kw_only=True)
class TotalVariation:
    """Drops pixels at random and replaces the image by a smooth one that agrees with the kept pixels.

    z minimises 1/2 sum_kept (z - x)^2 + weight * sum |grad z|, per channel, with isotropic total variation
    and forward differences. Guo et al. 2018 (arXiv:1711.00117, section 3.2): dropout 0.5, weight 0.03. The
    paper prints the first term as an unsquared norm and the second as norms of whole rows; this is what the
    authors' code minimises. Which pixels are dropped depends on the image and the seed
    (`robench.model.noise`).

    Attributes:
        weight: of the total variation, lambda_TV in the paper; at least 0.
        dropout: probability that a pixel of a channel is dropped, from 0 and below 1.
        iterations: of the primal-dual algorithm, at least 1.
        draws: dropouts an attacker averages over, at least 1.

    Raises:
        ConfigError: an option value is invalid.
    """

    info: ClassVar[DefenseInfo] = DefenseInfo(
        title="Total-variation minimisation",
        paper="Guo et al. 2018, arXiv:1711.00117",
        bibtex=paper("guo2018countering"),
        stage="inference",
        attacked_through=(
            "EOT over `draws` pixel dropouts, BPDA: identity backward; and the model without the defense"
        ),
    )
    weight: float = 0.03
    dropout: float = 0.5
    iterations: int = 100
    draws: int = 8

    def __post_init__(self) -> None:
        """Refuse invalid values."""
        require(0 <= self.weight < float("inf"), "weight", "a number from 0", self.weight)
        require(0 <= self.dropout < 1, "dropout", "a probability below 1", self.dropout)
        at_least_one(iterations=self.iterations, draws=self.draws)

    def offers(self, beneath: Sequence[str]) -> tuple[str, ...]:
        """Name the gradient sources; see `robench.model.InferenceDefense`."""
        way: Way = "eot" if self.dropout else "bpda"
        return offered_sources(beneath, way)

    def __call__(self, model: Model, *, training_data: Callable[[], ImageSet], seed: int) -> Model:
        """Return the defended model, for images (B, C, H, W); see `robench.model.InferenceDefense`."""
        from defenses.inference.eot import transformed_model
        from defenses.inference.inpainter import Inpainter

        del training_data
        transform = Inpainter(weight=self.weight, dropout=self.dropout, iterations=self.iterations, seed=seed)
        return transformed_model(model, transform, self, count=self.draws if self.dropout else 0, seed=seed)
