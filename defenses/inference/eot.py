"""Expectation over transformation: attacking a model that draws noise.

Athalye et al. 2018 (arXiv:1707.07397; arXiv:1802.00420, section 4.2): the attacker follows the gradient of
the expected output, not of one draw. Here the output distributions of several draws are averaged, and the
loss is computed on the mean, as in the attack on smoothed classifiers of Salman et al. 2019
(arXiv:1906.04584). The draws never include the draw with which the model classifies.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from defenses.inference.bpda import TransformedNetwork, bpda_source, details_of, straight_through
from defenses.inference.source_names import UNDEFENDED, defended_names
from defenses.inference.transforms import Transform
from robench.attack.losses import log_probabilities
from robench.model.interface import GradientSource, Model, OutputKind
from robench.model.noise import current_draw, draw, draws
from robench.types import Images, Outputs


def log_mean(distributions: Sequence[Outputs]) -> Outputs:
    """Return the logarithm (B, K) of the mean of distributions, each given as log-probabilities (B, K)."""
    return torch.stack(list(distributions)).logsumexp(dim=0) - math.log(len(distributions))


def own_outputs(
    answer: Callable[[Images], Outputs], x: Images, surrogate: Outputs
) -> Outputs | Float[Tensor, "B K+1"]:
    """Return the model's own outputs for images (B, C, H, W) in [0, 1], without gradient.

    They are (B, K), or (B, K + 1) of a model that may reject.
    Inside another expectation they are not used: the surrogate's outputs (B, K) are returned instead, which
    saves the pass.
    """
    if current_draw():
        return surrogate.detach()
    with torch.no_grad():
        return answer(x)


def eot_source(
    source: GradientSource,
    versions: Callable[[Images], Callable[[], Images]],
    answer: Callable[[Images], Outputs],
    *,
    count: int,
    name: str,
    answer_forwards: int,
) -> GradientSource:
    """Return a gradient source of the base model in expectation over the noise of a defense.

    Args:
        source: of the base model.
        versions: maps images (B, C, H, W) in [0, 1] to a function that returns one differentiable noisy
            version of them, under the draw that is current at its call.
        answer: maps images (B, C, H, W) to the defended model's own outputs (B, K).
        count: draws to average over.
        name: of the source.
        answer_forwards: passes of the network per output of the defended model.
    """

    def surrogate(x: Images) -> tuple[Outputs, Outputs]:
        """Map images (B, C, H, W) to mean log-probabilities and the model's outputs, both (B, K)."""
        version, distributions = versions(x), []
        for number in draws(count):
            with draw(number):
                outputs, _ = source.surrogate(version())
            distributions.append(log_probabilities(outputs, source.output))
        mean = log_mean(distributions)
        return mean, own_outputs(answer, x, mean)

    return GradientSource(
        name,
        surrogate,
        OutputKind.LOG_PROBABILITIES,
        forwards=count * source.forwards + answer_forwards,
        backwards=count * source.backwards,
        template_free=source.template_free,
        unseen=True,
    )


def undefended_source(model: Model, net: nn.Module, answer_forwards: int) -> GradientSource:
    """Return the source that ignores the defense: the base model's first, with the defended model's outputs.

    Args:
        model: the model without the defense.
        net: the defended network.
        answer_forwards: passes of the network per output of the defended model.
    """
    beneath = model.sources.get(UNDEFENDED) or next(iter(model.sources.values()))

    def surrogate(x: Images) -> tuple[Outputs, Outputs]:
        """Map images (B, C, H, W) to the undefended and the defended model's outputs, both (B, K)."""
        outputs, _ = beneath.surrogate(x)
        return outputs, own_outputs(net, x, outputs)

    forwards = beneath.forwards + answer_forwards
    return replace(
        beneath,
        name=UNDEFENDED,
        surrogate=surrogate,
        forwards=forwards,
        unseen=beneath.unseen or not model.random,
    )


def transformed_model(
    model: Model, transform: Transform, recipe: Any, *, count: int = 0, **facts: Any
) -> Model:
    """Put a transform in front of a model; every gradient source goes through it, and one ignores it.

    Args:
        model: the model without the defense.
        transform: applied to every image first; moved to the model's device.
        recipe: the defense, for the details.
        count: draws an attacker averages over; 0 for a transform that is not random.
        facts: other facts that identify the transform.
    """
    transform = transform.to(model.device).eval()
    net = TransformedNetwork(transform, model.net)

    def versions(x: Images) -> Callable[[], Images]:
        """Return a function that makes transformed images (B, C, H, W) under the current draw."""
        setup = transform.shared(x.detach())
        return lambda: straight_through(x, transform, setup)

    sources = [
        eot_source(model.sources[old], versions, net, count=count, name=new, answer_forwards=model.forwards)
        if count
        else bpda_source(model.sources[old], transform, new)
        for old, new in defended_names(tuple(model.sources), "eot" if count else "bpda").items()
    ]
    sources.append(undefended_source(model, net, model.forwards))
    around = model.neighbourhood
    if around is not None:
        # No single draw of a random transform represents the model: its neighbourhood is not offered.
        around_features = around.features
        around = (
            None
            if count
            else replace(around, features=lambda x: around_features(straight_through(x, transform)))
        )
    features = model.features
    return replace(
        model,
        net=net,
        neighbourhood=around,
        random=model.random or count > 0,
        features=None if count or features is None else lambda x: features(straight_through(x, transform)),
        sources={source.name: source for source in sources},
        details=details_of(model, recipe, **facts),
    )
