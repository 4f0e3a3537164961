"""What a threat lets an attack see of a model: weights, template, noise (Carlini et al. 2019, section 2.2).

An attack that uses only scores or labels needs none of them. From all other attacks a threat may hide:

- the template of a graph head: they attack a stand-in, the same network with another template;
- the noise with which a random model classifies: they differentiate another draw, and get the model's own
  answers only by evaluating the model, as anybody can.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch

from robench.attack.protocol import Attack, Knowledge
from robench.attack.threat import ThreatModel
from robench.errors import ConfigError
from robench.model.interface import GradientSource, Model
from robench.model.noise import current_draw, draw
from robench.plan.spec import RANDOMNESS, TEMPLATE
from robench.types import Images, Outputs


def needs_stand_in(model: Model, gradient_source: str, attack: Attack, threat: ThreatModel) -> bool:
    """Tell whether an attack must be aimed at a stand-in because it would need the model's own template.

    Args:
        model: the model.
        gradient_source: name of what is differentiated; not used for an attack that chooses itself.
        attack: the attack.
        threat: says what is known.
    """
    if not model.template or TEMPLATE in threat.knowledge or attack.info.knowledge is not Knowledge.GRADIENT:
        return False
    return bool(attack.info.own_source) or not model.source(gradient_source).template_free


def check_noise(model: Model, threat: ThreatModel) -> None:
    """Refuse a threat with known noise for a model on which no attack would use the noise.

    Raises:
        ConfigError: the threat grants the model's noise, but all gradient sources average over other draws.
    """
    if RANDOMNESS in threat.knowledge and model.random and all(s.unseen for s in model.sources.values()):
        raise ConfigError(
            where=f"model {model.name!r}",
            expected="a model with a gradient source that uses the noise it classifies with",
            got=f"only {', '.join(model.sources)}, which average over other draws",
            do="Remove randomness from `knowledge`: no attack would use it",
        )


def as_seen(model: Model, threat: ThreatModel) -> Model:
    """Return a model as the attacker sees it: if its noise is not known, gradients are those of draw 1.

    The model classifies with draw 0. A neighbourhood belongs to one draw, so it is not offered.
    """
    if not model.random or RANDOMNESS in threat.knowledge:
        return model
    sources = {name: s if s.unseen else _elsewhere(s, model.net) for name, s in model.sources.items()}
    return replace(model, sources=sources, neighbourhood=None)


def hides_noise(model: Model, threat: ThreatModel) -> bool:
    """Tell whether `as_seen` changes what an attack differentiates."""
    hides = model.random and RANDOMNESS not in threat.knowledge
    return hides and not all(source.unseen for source in model.sources.values())


def _elsewhere(source: GradientSource, answer: Callable[[Images], Outputs]) -> GradientSource:
    """Return the source under draw 1, with the model's own answers, which are those of draw 0."""

    def surrogate(x: Images) -> tuple[Outputs, Outputs]:
        if current_draw():
            return source.surrogate(x)
        with draw(1):
            outputs, _ = source.surrogate(x)
        with torch.no_grad():
            return outputs, answer(x)

    return replace(source, surrogate=surrogate, forwards=source.forwards + 1, unseen=True)
