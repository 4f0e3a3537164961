"""Randomised smoothing: the class most noisy copies of the image get. No torch at import."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from defenses.inference.naming import offered
from defenses.papers import COHEN_SMOOTHING
from defenses.training.options import require
from robench.model.defense import DefenseInfo

if TYPE_CHECKING:
    from robench.data.images import ImageSet
    from robench.model.interface import Model


@dataclass(frozen=True, slots=True, kw_only=True)
class Smoothing:
    """Classifies many copies of the image with Gaussian noise and answers with the share of votes per class.

    Cohen, Rosenfeld & Kolter 2019 (arXiv:1902.02918): sigma 0.12, 0.25, 0.5 or 1.0 on a network trained with
    that noise; here 0.25. The noise depends on the image and the seed (`robench.model.noise`). There is no
    abstention here: `robench certify` certifies an L2 radius and may abstain. One answer costs `votes` passes
    of the network, one gradient `samples` more, though both are booked as one pass of the model.

    Attributes:
        sigma: standard deviation of the noise, in units of pixels in [0, 1].
        votes: noisy copies per answer.
        samples: noisy copies an attacker averages over.
    """

    info: ClassVar[DefenseInfo] = DefenseInfo(
        title="Randomised smoothing",
        paper="Cohen, Rosenfeld & Kolter 2019, arXiv:1902.02918",
        bibtex=COHEN_SMOOTHING,
        stage="inference",
        attacked_through=(
            "EOT over `samples` noises, of the mean distribution (Salman et al. 2019, arXiv:1906.04584); and "
            "the model without the defense"
        ),
    )
    sigma: float = 0.25
    votes: int = 65
    samples: int = 8

    def __post_init__(self) -> None:
        """Refuse values that mean nothing."""
        require(0 < self.sigma < float("inf"), "sigma", "a positive number", self.sigma)
        require(self.votes >= 1, "votes", "at least 1", self.votes)
        require(self.samples >= 1, "samples", "at least 1", self.samples)

    def offers(self, beneath: Sequence[str]) -> tuple[str, ...]:
        """Name the gradient sources; see `robench.model.InferenceDefense`."""
        return offered(beneath, "eot")

    def __call__(self, model: Model, *, training_data: Callable[[], ImageSet], seed: int) -> Model:
        """Return the model behind the defense; see `robench.model.InferenceDefense`.

        Raises:
            ConfigError: the model rejects images, and a vote for no class means nothing.
        """
        from defenses.inference.smoothed import smoothed

        del training_data
        return smoothed(model, self, seed=seed)
