"""Compares what was read from a network with what the network computes."""

from __future__ import annotations

import torch
from torch import nn

from robench.bounds.graph import Graph
from robench.errors import ConfigError
from robench.model.evaluation import evaluation_mode
from robench.model.tested_network import TestedNetwork
from robench.types import Images

AGREEMENT = 1e-3
"""Largest difference between graph and network, relative to the largest output."""


@torch.no_grad()
def check_agreement(graph: Graph, net: nn.Module, x: Images) -> None:
    """Compare graph and network on images (B, C, H, W).

    Raises:
        ConfigError: they differ by more than rounding: the network does what could not be read from it.
    """
    tested = net if isinstance(net, TestedNetwork) else TestedNetwork(net)
    with evaluation_mode(tested):
        theirs = tested(x).double().cpu()
    ours = graph(x.detach().double().cpu())
    if graph.ending:
        ours = getattr(ours, graph.ending)(dim=1)
    got = ""
    if ours.shape != theirs.shape:
        got = f"{theirs.shape[1]} outputs rather than {ours.shape[1]}"
    elif not bool(torch.isfinite(theirs).all()):
        got = "outputs that are not finite"
    elif theirs.numel():
        apart = float((ours - theirs).abs().max()) / max(float(theirs.abs().max()), 1e-30)
        got = f"outputs {apart:.2g} of the largest away from that" if apart > AGREEMENT else ""
    if got:
        raise ConfigError(
            where="network",
            expected="a network that computes what its layers say",
            got=got,
            do="See docs/bounds.md: hooks, noise and changes in place cannot be bounded",
        )
