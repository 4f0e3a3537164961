"""Writes the graph of a network, step by step, from its layers and functions."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from robench.bounds.convolution import Convolution
from robench.bounds.gathering import Gathering, Joined
from robench.bounds.graph import Graph, Node
from robench.bounds.operations import Affine, Dense, Scale, Shape, Sum
from robench.bounds.rectifier import Rectifier
from robench.bounds.symbols import Batch, Ref, Unbounded, exact, pair, told
from robench.types import Values


@dataclass(slots=True)
class Reader:
    """Writes a graph, node by node.

    Args:
        shape: (C, H, W) of the images.
    """

    shape: Shape
    name: str = "images"
    nodes: list[Node] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Begin with the images."""
        self.nodes.append(Node("images", None, (), tuple(self.shape)))

    def shape_of(self, ref: Ref) -> Shape:
        """Return the shape of a node, without the batch."""
        return self.nodes[ref.number].shape

    def add(self, step: Affine | Rectifier, *inputs: Ref) -> Ref:
        """Append a step; its shape is found by computing it once."""
        with torch.no_grad():
            samples = [torch.zeros(1, *self.shape_of(ref), dtype=torch.float64) for ref in inputs]
            shape = tuple(step.value(*samples).shape[1:])
        if not shape or 0 in shape:
            raise Unbounded("no values at all" if shape else "one number for each image without an axis")
        self.nodes.append(Node(self.name, step, tuple(ref.number for ref in inputs), shape))
        return Ref(len(self.nodes) - 1)

    def graph(self, output: Ref) -> Graph:
        """Return the graph; its last node is the output, and unused nodes are left out."""
        numbers = {output.number}
        for number in range(output.number, 0, -1):
            if number in numbers:
                numbers.update(self.nodes[number].inputs)
        order = sorted(numbers | {0})
        place = {old: new for new, old in enumerate(order)}
        nodes = [self.nodes[old] for old in order]
        return Graph([Node(n.name, n.step, tuple(place[i] for i in n.inputs), n.shape) for n in nodes])

    # --- affine steps

    def linear(
        self, x: Ref, weight: Float[Tensor, "out in"], bias: Float[Tensor, " out"] | None = None
    ) -> Ref:
        """Append a fully connected layer: weight (out, D) and bias (out,), on the last axis of (..., D)."""
        weight = exact(weight)
        return self.add(Dense(weight, weight.new_zeros(len(weight)) if bias is None else exact(bias)), x)

    def convolution(
        self,
        x: Ref,
        weight: Float[Tensor, "out in h w"],
        bias: Float[Tensor, " out"] | None = None,
        stride: Any = 1,
        padding: Any = 0,
        dilation: Any = 1,
        groups: int = 1,
    ) -> Ref:
        """Append a two-dimensional convolution with zero padding of values (C, H, W).

        Args:
            x: the values.
            weight: (out, C / groups, h, w).
            bias: (out,); None for none.
            stride: one number, or one for each of the two axes.
            padding: likewise, or `valid` or `same` as in PyTorch.
            dilation: likewise.
            groups: of channels.

        Raises:
            Unbounded: the values do not have the shape (C, H, W).
        """
        if len(self.shape_of(x)) != 3:
            raise Unbounded("a convolution of something that is no batch of images")
        weight, dilation = exact(weight), pair(dilation)
        if padding == "valid":
            padding = 0
        if padding == "same":
            whole = [d * (k - 1) for d, k in zip(dilation, weight.shape[2:], strict=True)]
            ahead = [n // 2 for n in whole]
            # PyTorch adds an odd remainder at the end.
            sides = (ahead[1], whole[1] - ahead[1], ahead[0], whole[0] - ahead[0])
            x, padding = self.padded(x, sides), 0
        bias = weight.new_zeros(len(weight)) if bias is None else exact(bias)
        step = Convolution(weight, bias, pair(stride), pair(padding), dilation, int(groups))
        return self.add(step, x)

    def scaled(self, x: Ref, factor: Tensor | float, shift: Tensor | float) -> Ref:
        """Append a factor and a shift.

        Args:
            x: the values.
            factor: a number, or a tensor that broadcasts against the values of one image.
            shift: likewise.

        Raises:
            Unbounded: the shape of a constant does not fit the values, or it differs between images.
        """
        shape = self.shape_of(x)
        return self.add(Scale(self._constant(factor, shape), self._constant(shift, shape)), x)

    def _constant(self, value: Tensor | float, shape: Shape) -> Tensor:
        constant = exact(torch.as_tensor(value))
        if constant.ndim == len(shape) + 1 and constant.shape[0] == 1:
            constant = constant[0]
        reach = shape[len(shape) - constant.ndim :]
        fits = constant.ndim <= len(shape)
        if not fits or any(n not in (1, m) for n, m in zip(constant.shape, reach, strict=True)):
            raise Unbounded(f"a constant of shape {tuple(constant.shape)} against values {shape}")
        return constant.view(*[1] * (len(shape) - constant.ndim), *constant.shape)

    def gathered(self, x: Ref, apply: Callable[[Values], Values], fan: int = 1) -> Ref:
        """Append a linear operation with weights of at least zero.

        Args:
            x: the values.
            apply: the operation on a batch (B, ...) of them.
            fan: most values that one result depends on.
        """
        return self.add(Gathering(apply, fan), x)

    def normalised(
        self,
        x: Ref,
        mean: Float[Tensor, " C"],
        variance: Float[Tensor, " C"],
        weight: Float[Tensor, " C"] | None,
        bias: Float[Tensor, " C"] | None,
        eps: float,
    ) -> Ref:
        """Append batch norm with fixed statistics of values (C, ...).

        Args:
            x: the values.
            mean: running means (C,).
            variance: running variances (C,), at least 0.
            weight: factors (C,); None for 1.
            bias: shifts (C,); None for 0.
            eps: added to the variances.
        """
        factor = 1 / (exact(variance) + eps).sqrt()
        if weight is not None:
            factor = factor * exact(weight)
        shift = -exact(mean) * factor
        if bias is not None:
            shift = shift + exact(bias)
        after = [1] * (len(self.shape_of(x)) - 1)
        return self.scaled(x, factor.view(-1, *after), shift.view(-1, *after))

    def padded(self, x: Ref, sides: Sequence[int]) -> Ref:
        """Append zero padding."""
        if len(sides) > 2 * len(self.shape_of(x)) and any(sides[2 * len(self.shape_of(x)) :]):
            raise Unbounded("padding along the batch")
        return self.gathered(x, lambda t: F.pad(t, tuple(sides)))

    def reshaped(self, x: Ref, wanted: Sequence[Any]) -> Ref:
        """Append a reshape; the batch axis must not change."""
        count = math.prod(self.shape_of(x))
        if len(wanted) == 1 and isinstance(wanted[0], list | tuple | torch.Size):
            wanted = tuple(wanted[0])
        first, rest = wanted[0], list(wanted[1:])
        if not (isinstance(first, Batch) or first == -1) or any(isinstance(n, Batch) for n in rest):
            raise Unbounded(f"a reshape to {told(wanted)}, which may mix images of a batch")
        if -1 in rest:
            product = math.prod(n for n in rest if n != -1)
            rest[rest.index(-1)] = count // max(product, 1)
        if math.prod(rest) != count:
            raise Unbounded(f"a reshape to {told(wanted)}, which mixes images of a batch")
        return self.gathered(x, lambda t: t.reshape(len(t), *rest))

    def flattened(self, x: Ref, start: int = 0, end: int = -1) -> Ref:
        """Append a flatten; the batch axis must not change."""
        rank = len(self.shape_of(x)) + 1
        if start % rank == 0:
            raise Unbounded("a flatten that mixes the images of a batch: start at 1")
        return self.gathered(x, lambda t: t.flatten(start, end))

    def averaged(self, x: Ref, axes: Any, keep: bool = False, mean: bool = True) -> Ref:
        """Append a mean or a sum over axes other than the batch."""
        shape = self.shape_of(x)
        numbers = range(len(shape) + 1) if axes is None else [axes] if isinstance(axes, int) else axes
        places = tuple(axis % (len(shape) + 1) for axis in numbers)
        if 0 in places or not places:  # no axes mean all axes in PyTorch
            raise Unbounded("a mean or sum over the images of a batch")
        fan = math.prod(shape[axis - 1] for axis in places)
        if mean:
            return self.gathered(x, lambda t: t.mean(dim=places, keepdim=keep), fan)
        return self.gathered(x, lambda t: t.sum(dim=places, keepdim=keep), fan)

    def joined(self, inputs: Sequence[Ref], axis: int = 0) -> Ref:
        """Append a concatenation along an axis other than the batch."""
        rank = len(self.shape_of(inputs[0])) + 1
        if axis % rank == 0:
            raise Unbounded("a concatenation of batches")
        return self.add(Joined(axis % rank), *inputs)

    # --- rectifiers

    def rectified(self, x: Ref, slope: float = 0.0) -> Ref:
        """Append a ReLU or leaky ReLU."""
        if not 0 <= slope <= 1:
            raise Unbounded(f"a leaky ReLU of slope {slope}: bounds know slopes between 0 and 1")
        return self.add(Rectifier(float(slope)), x)

    def clamped(self, x: Ref, low: Any, high: Any) -> Ref:
        """Append min(high, max(low, x)), as ReLUs; if low > high, the result is high."""
        low, high = _limit(low, -math.inf), _limit(high, math.inf)
        if low is not None and high is not None and low > high:
            return self.scaled(x, 0.0, high)
        if high is not None:  # min(x, high) = high - relu(high - x)
            x = self.scaled(self.rectified(self.scaled(x, -1.0, high)), -1.0, high)
        if low is not None:
            x = self.scaled(self.rectified(self.scaled(x, 1.0, -low)), 1.0, low)
        return x

    def larger(self, one: Ref, other: Ref) -> Ref:
        """Append the larger of two: one + relu(other - one), so that bounds can split it."""
        apart = self.add(Sum((1.0, -1.0)), other, one)
        return self.add(Sum((1.0, 1.0)), one, self.rectified(apart))


def _limit(value: Any, none: float) -> float | None:
    """Return a limit of a clamp; None for none."""
    if isinstance(value, Tensor) and value.ndim:
        raise Unbounded("a clamp by many limits")
    return None if value is None or float(value) == none else float(value)
