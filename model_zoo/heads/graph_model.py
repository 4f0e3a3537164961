"""A graph head's model: network, templates, gradient sources, and the facts that identify it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import nn

from model_zoo.heads.expectation import DRAWS, NAME, expectation, randomness_in
from model_zoo.heads.graph_network import GraphNetwork
from model_zoo.heads.sources import gradient_sources, neighbourhood_of
from model_zoo.heads.templates import GraphImages
from model_zoo.last_layer import Branched, branched
from robench.model.interface import Coupling, Model, OutputKind


def graph_model(
    put_on: Callable[[Branched], GraphNetwork],
    network: nn.Module,
    images: GraphImages,
    *,
    name: str,
    output: OutputKind,
    tau: float,
    device: str,
    details: Mapping[str, Any],
) -> Model:
    """Return the model of a graph head over a network's features.

    Args:
        put_on: makes the network of the head from features and linear branch.
        network: images to outputs; a foreign one is split at its last linear layer, without being changed.
        images: the clean training images of the head's templates, and those that join every joint graph.
        name: the model's name.
        output: the kind of the head's rows.
        tau: temperature of the gradient source `kernel`.
        device: where the network is moved to.
        details: facts of the model and the head's own options.

    Raises:
        InputError: the network does not end in a linear layer, or a template cannot be used.
    """
    network, templates = network.to(device), images.templates
    net = put_on(branched(network, templates[0].batch(slice(0, 3))[0].to(device)))
    facts = {
        "template": len(templates[0]),
        "template_sha256": [template.digest() for template in templates],
        "votes": len(templates),
    }
    if images.unlabelled is not None:
        facts["unlabelled_sha256"] = images.unlabelled.digest()
    sources = gradient_sources(net, tau=tau, output=output)
    if randomness := randomness_in(network):
        facts |= {"chance": randomness, "draws": DRAWS}
        sources = {NAME: expectation(net, next(iter(sources.values()))), **sources}
    return Model(
        name=name,
        net=net,
        classes=net.classes,
        output=output,
        coupling=Coupling.JOINT if net.joint else Coupling.INDEPENDENT,
        sources=sources,
        details={**details, **facts},
        neighbourhood=neighbourhood_of(net, lambda: templates),
        template=True,
        random=bool(randomness),
    )
