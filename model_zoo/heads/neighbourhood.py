"""What an attacker who knows everything sees of a WNLL head: its features, its graph, its template."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import torch

from model_zoo.heads.sources import log_density
from model_zoo.heads.wnll_network import WNLLNetwork
from robench.data.images import ImageSet
from robench.model.interface import Memory, Neighbourhood


def neighbourhood_of(net: WNLLNetwork, templates: Callable[[], Sequence[ImageSet]]) -> Neighbourhood:
    """Return a WNLL network as attacks on neighbourhoods see it.

    Args:
        net: the model's network.
        templates: gives the clean template images behind `net.points`, in their order.
    """

    def memory() -> Memory:
        points, labels = net.points
        images = torch.cat([template.batch(slice(None))[0] for template in templates()])
        return Memory(images=images.to(points.device), points=points, labels=labels)

    return Neighbourhood(
        features=net.branches.features,
        classify=net.classify,
        density=partial(log_density, net),
        linear=net.branches.linear,
        memory=memory,
        reach=net.graph.m,
    )
