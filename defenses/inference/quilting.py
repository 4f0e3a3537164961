"""Image quilting: the image is put together again from patches of clean images. No torch at import."""

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
class Quilting:
    """Replaces every patch of the image by a similar patch from clean training images.

    Guo et al. 2018 (arXiv:1711.00117, section 3.3), after Efros & Freeman 2001: patches on a grid that
    overlaps; each becomes one of its `neighbours` nearest in a database, drawn at random; where two overlap
    they are cut along the path on which they differ least (Efros & Freeman; the paper takes a graph cut). Guo
    et al.: 5 x 5 patches, 1,000,000 of them, 10 neighbours (1 for whole images), and in the authors' code an
    overlap of 2. Images are rounded to 8 bits first. Which neighbour is taken depends on the image and the
    seed (`robench.model.noise`).

    Attributes:
        patch: side of a patch in pixels, at least 2.
        overlap: of neighbouring patches, in pixels; at least 1 and less than `patch`.
        neighbours: nearest patches of the database to draw from, at least 1; 1 takes the nearest.
        patches: in the database, at least `neighbours`, drawn from the training images; equal ones are kept
            once.
        draws: quilts an attacker averages over, at least 1.

    Raises:
        ConfigError: an option value is invalid.
    """

    info: ClassVar[DefenseInfo] = DefenseInfo(
        title="Image quilting",
        paper="Guo et al. 2018, arXiv:1711.00117; Efros & Freeman 2001",
        bibtex=paper("guo2018countering", "efros2001image"),
        stage="inference",
        attacked_through=(
            "EOT over `draws` choices of neighbours, BPDA: identity backward; and the model without the "
            "defense"
        ),
    )
    patch: int = 5
    overlap: int = 2
    neighbours: int = 10
    patches: int = 4000
    draws: int = 8

    def __post_init__(self) -> None:
        """Refuse patches that cannot be sewn."""
        require(self.patch >= 2, "patch", "at least 2", self.patch)
        require(1 <= self.overlap < self.patch, "overlap", "at least 1, below `patch`", self.overlap)
        at_least_one(neighbours=self.neighbours)
        require(self.patches >= self.neighbours, "patches", "at least `neighbours`", self.patches)
        at_least_one(draws=self.draws)

    def offers(self, beneath: Sequence[str]) -> tuple[str, ...]:
        """Name the gradient sources; see `robench.model.InferenceDefense`."""
        way: Way = "eot" if self.neighbours > 1 else "bpda"
        return offered_sources(beneath, way)

    def __call__(self, model: Model, *, training_data: Callable[[], ImageSet], seed: int) -> Model:
        """Return the defended model, for images (B, C, H, W); see `robench.model.InferenceDefense`.

        Raises:
            InputError: the training images are smaller than a patch, or have fewer different patches than
                `neighbours`.
        """
        from defenses.inference.eot import transformed_model
        from defenses.inference.quilter import Quilter, draw_patches

        data = training_data()
        transform = Quilter(
            draw_patches(data, side=self.patch, count=self.patches, least=self.neighbours, seed=seed),
            side=self.patch,
            overlap=self.overlap,
            neighbours=self.neighbours,
            seed=seed,
        )
        count = self.draws if self.neighbours > 1 else 0
        return transformed_model(model, transform, self, count=count, seed=seed, data_sha256=data.digest())
