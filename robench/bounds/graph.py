"""A network as a short list of affine operations and rectifiers, in the order they are computed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from robench.bounds.convolution import Convolution
from robench.bounds.gathering import Gathering, Selection
from robench.bounds.operations import Affine, Dense, Scale, Shape
from robench.bounds.rectifier import Rectifier
from robench.types import Images, Outputs, Values


@dataclass(frozen=True, slots=True, eq=False)
class Node:
    """One step of a network.

    Attributes:
        name: the layer in the user's network, for messages.
        step: what it does; None for the images themselves.
        inputs: the numbers of the nodes it reads.
        shape: of its values, without the batch.
    """

    name: str
    step: Affine | Rectifier | None
    inputs: tuple[int, ...]
    shape: Shape

    @property
    def affine(self) -> Affine:
        """The affine operation of a node that is one."""
        assert self.step is not None
        assert not isinstance(self.step, Rectifier)
        return self.step


@dataclass(frozen=True, slots=True, eq=False)
class Graph:
    """A network; node 0 is the images, the last one the outputs (B, K).

    Attributes:
        nodes: in the order they are computed.
        ending: `softmax` or `log_softmax` that the network takes of them; it changes no sign of a margin.
    """

    nodes: Sequence[Node] = field(repr=False)
    ending: str = ""

    @property
    def output(self) -> int:
        """The number of the node of the outputs."""
        return len(self.nodes) - 1

    @property
    def rectifiers(self) -> list[int]:
        """The numbers of the rectifiers, in order."""
        return [i for i, node in enumerate(self.nodes) if isinstance(node.step, Rectifier)]

    def values(self, x: Images) -> list[Values]:
        """Return what every node makes of images (B, C, H, W) of the graph's type."""
        values: list[Tensor] = [x]
        for node in self.nodes[1:]:
            assert node.step is not None
            values.append(node.step.value(*(values[i] for i in node.inputs)))
        return values

    def __call__(self, x: Images) -> Outputs:
        """Map images (B, C, H, W) of the graph's type to outputs (B, K)."""
        return self.values(x)[-1]

    def to(self, dtype: torch.dtype) -> Graph:
        """Return the same network in another type."""
        nodes = [
            node
            if node.step is None or isinstance(node.step, Rectifier)
            else replace(node, step=node.step.to(dtype))
            for node in self.nodes
        ]
        return replace(self, nodes=nodes)

    def mixes(self, node: int) -> int:
        """Return how many operations that mix values lie before a node at most; 99 behind a rectifier.

        Behind at most one the interval bound of a box is exact.
        """
        depths = [0]
        for step in self.nodes[1 : node + 1]:
            before = max(depths[i] for i in step.inputs)
            plain = isinstance(step.step, Scale | Selection) or (
                isinstance(step.step, Gathering) and step.step.fan == 1
            )
            alone = isinstance(step.step, Convolution | Dense | Gathering)
            depths.append(before if plain else before + 1 if alone else 99)
        return depths[node]
