"""Randomised smoothing: a vote over noisy copies of the image. No torch at import."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

from defenses.inference.source_names import defended_names, offered_sources
from defenses.option_checks import at_least_one, positive
from robench.errors import ConfigError
from robench.model.defense import DefenseInfo
from robench.papers import paper

if TYPE_CHECKING:
    from robench.data.images import ImageSet
    from robench.model.interface import Model
    from robench.types import Images


@dataclass(frozen=True, slots=True, kw_only=True)
class Smoothing:
    """Classifies many copies of the image with Gaussian noise and returns the share of votes per class.

    Cohen, Rosenfeld & Kolter 2019 (arXiv:1902.02918): sigma 0.12, 0.25, 0.5 or 1.0 on a network trained with
    that noise; here 0.25. The noise depends on the image and the seed (`robench.model.noise`). There is no
    abstention here: `robench certify` certifies an L2 radius and may abstain. One prediction costs `votes`
    passes of the network, one gradient `samples` more, although each counts as one pass of the model.

    Attributes:
        sigma: standard deviation of the noise, in units of pixels in [0, 1]; above 0.
        votes: noisy copies per prediction, at least 1.
        samples: noisy copies an attacker averages over, at least 1.

    Raises:
        ConfigError: an option value is invalid.
    """

    info: ClassVar[DefenseInfo] = DefenseInfo(
        title="Randomised smoothing",
        paper="Cohen, Rosenfeld & Kolter 2019, arXiv:1902.02918",
        bibtex=paper("cohen2019certified"),
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
        """Refuse invalid values."""
        positive(sigma=self.sigma)
        at_least_one(votes=self.votes, samples=self.samples)

    def offers(self, beneath: Sequence[str]) -> tuple[str, ...]:
        """Name the gradient sources; see `robench.model.InferenceDefense`."""
        return offered_sources(beneath, "eot")

    def __call__(self, model: Model, *, training_data: Callable[[], ImageSet], seed: int) -> Model:
        """Return the defended model, for images (B, C, H, W); see `robench.model.InferenceDefense`.

        Raises:
            ConfigError: the model rejects images, so that copies may vote for no class.
        """
        from defenses.inference.bpda import details_of
        from defenses.inference.eot import eot_source, undefended_source
        from defenses.inference.smoothed import SmoothedNetwork
        from robench.model.interface import Coupling, OutputKind
        from robench.model.noise import noise_of

        del training_data
        if model.rejects:
            raise ConfigError(
                where=f"model {model.name!r}",
                expected="a model that always answers with a class",
                got="one that rejects images",
                do="List feature squeezing before smoothing, or leave one of them out",
            )
        net = SmoothedNetwork(
            model.net,
            classes=model.classes,
            sigma=self.sigma,
            votes=self.votes,
            seed=seed,
            joint=model.coupling is Coupling.JOINT,
        )
        forwards = self.votes * model.forwards

        def versions(x: Images) -> Callable[[], Images]:
            """Return a function that makes noisy images (B, C, H, W) under the current draw."""
            return lambda: x + self.sigma * noise_of(x, seed=seed, use="attack").normal(x)

        sources = [
            eot_source(
                model.sources[old], versions, net, count=self.samples, name=new, answer_forwards=forwards
            )
            for old, new in defended_names(tuple(model.sources), "eot").items()
        ]
        sources.append(undefended_source(model, net, forwards))
        return replace(
            model,
            net=net,
            forwards=forwards,
            output=OutputKind.SIMPLEX,
            neighbourhood=None,
            random=True,
            features=None,
            sources={source.name: source for source in sources},
            details=details_of(model, self, seed=seed),
        )
