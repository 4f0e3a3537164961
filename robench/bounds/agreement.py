"""Compares the graph that was read from a network with the network itself, image by image.

Each image is compared alone, with points of its own region, so that no result depends on other images:
neither a refusal, nor the measured error of float32.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from robench.attack.threat import ThreatModel
from robench.bounds.graph import Graph
from robench.bounds.inputs import identities
from robench.errors import ConfigError, RobenchError
from robench.model.evaluation import evaluation_mode
from robench.model.tested_network import TestedNetwork
from robench.randomness import Randomness
from robench.types import Images

AGREEMENT = 1e-3
"""Largest difference between graph and network, relative to the image's largest output."""

ROUNDING = 1e-5
"""An additional tolerance, relative to the largest inner value of the network: outputs may cancel out."""

NEAR = 8
"""Number of points of an image's region that are compared too."""


@dataclass(frozen=True, slots=True)
class Differences:
    """Differences between the outputs of network and graph, all (B,).

    Attributes:
        apart: largest difference.
        output: largest output of the network.
        inner: largest value of any node.
        scores: largest score before a final softmax.
    """

    apart: Tensor
    output: Tensor
    inner: Tensor
    scores: Tensor


@torch.no_grad()
def differences(graph: Graph, net: nn.Module, x: Images, threat: ThreatModel) -> Differences:
    """Compare graph and network on images (B, C, H, W) and on points near each, drawn from its values alone.

    Args:
        graph: the graph in float64.
        net: the network.
        x: images in the box, on the CPU.
        threat: with a radius that float32 can represent.

    Raises:
        ConfigError: the network fails, or has another number of outputs than the graph, or is not finite.
    """
    network = net if isinstance(net, TestedNetwork) else TestedNetwork(net)
    device = next((t.device for t in (*network.parameters(), *network.buffers())), torch.device("cpu"))
    rows = []
    with evaluation_mode(network):
        for number, identity in enumerate(identities(x)):
            points = _near(x[number : number + 1], threat, identity)
            theirs = _answers(network, points.to(device)).double().cpu()
            values = graph.values(points.double())
            ours = getattr(values[-1], graph.ending)(dim=1) if graph.ending else values[-1]
            if ours.shape != theirs.shape:
                raise _disagreement(f"{theirs.shape[1]} outputs rather than {ours.shape[1]}")
            if not bool(torch.isfinite(theirs).all()):
                raise _disagreement("outputs that are not finite")
            inner = max(float(value.abs().max()) for value in values)
            apart, output = float((ours - theirs).abs().max()), float(theirs.abs().max())
            rows.append((apart, output, inner, float(values[-1].abs().max())))
    table = torch.tensor(rows, dtype=torch.float64).view(-1, 4)
    return Differences(*table.unbind(dim=1))


def check_agreement(found: Differences) -> None:
    """Refuse a network that computes something else than its graph.

    Raises:
        ConfigError: graph and network differ by more than rounding: the graph does not describe the network.
    """
    wrong = ~(found.apart <= AGREEMENT * found.output + ROUNDING * found.inner)
    if bool(wrong.any()):
        share = float((found.apart / found.output.clamp_min(1e-30))[wrong].max())
        raise _disagreement(f"outputs {share:.2g} of the largest away from that")


def _near(one: Images, threat: ThreatModel, identity: Tensor) -> Tensor:
    """Return an image (1, C, H, W) and points of its region: half of them inside, half on the boundary."""
    x = one.expand(NEAR, *one.shape[1:])
    samples = threat.sample(x, Randomness(0, identity + torch.arange(NEAR), ("agreement",)))
    edge = threat.project(x, x + 8 * (samples - x))
    inside = (torch.arange(NEAR) < NEAR // 2).view(-1, 1, 1, 1)
    return torch.cat([one, torch.where(inside, samples, edge)])


def _answers(network: TestedNetwork, points: Images) -> Tensor:
    try:
        outputs: Tensor = network(points)
    except RobenchError:
        raise
    except Exception as error:
        # A user's network may raise any error: the message quotes it.
        lines = str(error).strip().splitlines() or [type(error).__name__]
        got = f"{type(error).__name__}: {lines[0][:160]}"
        expected = f"a network that answers images of shape {tuple(points.shape[1:])}"
        raise ConfigError(where="network", expected=expected, got=got) from error
    return outputs


def _disagreement(got: str) -> ConfigError:
    return ConfigError(
        where="network",
        expected="a network that computes what its layers say",
        got=got,
        do="See docs/bounds.md: hooks, noise and changes in place cannot be bounded",
    )
