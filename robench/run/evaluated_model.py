"""A model as it is evaluated: its fingerprint, its gradient sources, and a stand-in if one is needed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from robench.attack.protocol import Attack
from robench.attack.threat import ThreatModel
from robench.attack.visibility import needs_stand_in
from robench.data.seen_images import SeenImages
from robench.errors import ConfigError
from robench.model.copy_methods import version_of_copies
from robench.model.interface import Model

HALF = 0.5
"""A template counts as known if it shares at least this part of its images with its stand-in's template."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluatedModel:
    """A model with its identity, computed once, and the gradient sources that attacks use.

    Attributes:
        model: the model.
        fingerprint: hash of its weights and details.
        sources: names of gradient sources; all it offers if empty.
        stand_in: the same with a template drawn by another seed, for attackers who do not know this one's.
        seen_images: gives the images it learned from, where known; asked where clean images are judged.
        copies: version of the copies of its network that attacks may ask; see `robench.model.copy_methods`.

    Raises:
        ConfigError: a gradient source is unknown.
    """

    model: Model
    fingerprint: str
    sources: tuple[str, ...] = ()
    stand_in: EvaluatedModel | None = None
    seen_images: Callable[[], SeenImages] | None = None
    copies: int = field(init=False)

    def __post_init__(self) -> None:
        """Refuse unknown gradient sources, fill in all if none is named, and look at the network's layers."""
        for name in self.sources:
            self.model.source(name)
        object.__setattr__(self, "sources", self.sources or tuple(self.model.sources))
        object.__setattr__(self, "copies", version_of_copies(self.model.net))


def attacked_model(
    source: EvaluatedModel, gradient_source: str, attack: Attack, threat: ThreatModel
) -> EvaluatedModel:
    """Return the model that an attack really runs on: the model itself, or its stand-in.

    Raises:
        ConfigError: the attack needs a stand-in and there is none.
    """
    if not needs_stand_in(source.model, gradient_source, attack, threat):
        return source
    if source.stand_in is None:
        raise ConfigError(
            where=f"model {source.model.name!r}",
            expected="a stand-in with another template, as the threat withholds the template",
            got="none",
            do="Give the model a stand-in, or add template to `knowledge`",
        )
    return source.stand_in


def with_stand_in(evaluated: EvaluatedModel, other: EvaluatedModel) -> EvaluatedModel:
    """Return a model with the same network under another template as its stand-in.

    Raises:
        ConfigError: the two templates share half of their images or more: an attacker who knows the training
            data then knows the template well enough.
    """
    if (share := _shared_template(evaluated.model, other.model)) >= HALF:
        raise ConfigError(
            where=f"model {evaluated.model.name!r}",
            expected="a template much smaller than the training data, as the threat says it is not known",
            got=f"one that shares {100 * share:.0f} % of its images with another draw",
            do="Give the head a smaller `template`, or add template to `knowledge`",
        )
    return replace(evaluated, stand_in=other)


def _shared_template(model: Model, other: Model) -> float:
    """Return the share of a model's template images that are in the other model's template too, in [0, 1]."""
    if model.neighbourhood is None or other.neighbourhood is None:
        hashes = [
            set(map(str, m.details.get("template_sha256") or [m.fingerprint()])) for m in (model, other)
        ]
        return len(hashes[0] & hashes[1]) / len(hashes[0])
    mine, theirs = (
        [image.tobytes() for image in m.neighbourhood.memory().images.cpu().numpy()]
        for m in (model, other)
        if m.neighbourhood is not None
    )
    return len(set(mine) & set(theirs)) / max(len(set(mine)), 1)
