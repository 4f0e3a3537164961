"""Gradient sources of a model with a graph head, and what an attacker can see (docs/wnll-attacks.md).

Each source makes one pass through the network and returns the surrogate's outputs beside the model's own u.
If the surrogate is a simplex point, its loss is -log u_y or the margin, as in `robench.attack.losses`;
softmax is not applied to u.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, cast

import torch
from torch import nn
from torch.autograd.function import FunctionCtx

from model_zoo.graph.kernel_density import class_log_density
from model_zoo.heads.graph_network import GraphNetwork, guarded
from robench.data.images import ImageSet
from robench.model.interface import GradientSource, Memory, Neighbourhood, OutputKind
from robench.types import Features, Images, Outputs


class StraightThrough(torch.autograd.Function):
    """Forward: u. Backward: dL/du passed to the logits unchanged (Wang & Osher 2019, Eq. 13 and 24)."""

    @staticmethod
    def forward(_ctx: FunctionCtx, u: Outputs, logits: Outputs) -> Outputs:
        """Return u (B, K); the logits (B, K) are used only in the backward pass."""
        return u.view_as(u).to(logits.dtype)

    @staticmethod
    def backward(_ctx: FunctionCtx, *gradients: Any) -> tuple[None, Outputs]:
        """Send dL/du (B, K) to the logits."""
        return None, gradients[0]


def gradient_sources(
    net: GraphNetwork, *, tau: float, output: OutputKind = OutputKind.SIMPLEX
) -> dict[str, GradientSource]:
    """Return the sources that a graph head offers, in the order an attacker would try them.

    `straight_through` and `linear` only if the network has a linear branch; `exact` and `kernel` always.

    Args:
        net: the model's network.
        tau: temperature of the `kernel` source.
        output: the kind of the model's rows u.
    """
    linear = net.branches.linear

    def through_linear(x: Images) -> tuple[Outputs, Outputs]:
        z = net.branches.features(x)
        return _logits(linear, z), net.classify(z.detach())

    def straight_through(x: Images) -> tuple[Outputs, Outputs]:
        z = net.branches.features(x)
        u = net.classify(z.detach())
        return cast("Outputs", StraightThrough.apply(u, _logits(linear, z))), u

    def exact(x: Images) -> tuple[Outputs, Outputs]:
        u = net(x)
        return u, u

    def kernel(x: Images) -> tuple[Outputs, Outputs]:
        z = net.branches.features(x)
        return log_density(net, z, tau), net.classify(z.detach())

    sources = [
        GradientSource("exact", exact, output),
        GradientSource("kernel", kernel, OutputKind.LOGITS),
    ]
    if linear is not None:
        sources = [
            GradientSource("straight_through", straight_through, output),
            GradientSource("linear", through_linear, OutputKind.LOGITS, template_free=True),
            *sources,
        ]
    return {source.name: source for source in sources}


def _logits(linear: nn.Module | None, z: Features) -> Outputs:
    assert linear is not None  # the two sources that call this exist only then
    return cast("Outputs", linear(z))


def log_density(net: GraphNetwork, z: Features, tau: float) -> Outputs:
    """Return class log-densities (B, K) over all templates together; NaN where features are not finite."""

    def of(finite: Features) -> Outputs:
        return class_log_density(finite, *net.points, classes=net.classes, n=net.graph.n, tau=tau)

    return guarded(z, of)


def neighbourhood_of(net: GraphNetwork, templates: Callable[[], Sequence[ImageSet]]) -> Neighbourhood:
    """Return what an attacker with full knowledge sees of a graph network: features, graph and template.

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
