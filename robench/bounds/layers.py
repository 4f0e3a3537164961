"""Layers and functions of torch as affine operations and rectifiers; what is neither is refused by name."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from robench.bounds.graph import Graph, Node
from robench.bounds.operations import (
    Affine,
    Convolution,
    Dense,
    Gathering,
    Joined,
    Scale,
    Selection,
    Shape,
    Sum,
)
from robench.bounds.rectifier import Rectifier
from robench.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Ref:
    """The values of a node while a network is read."""

    number: int


class Batch:
    """The length of the batch, where a network asks for it."""

    __slots__ = ()


class Unbounded(Exception):  # noqa: N818 - never leaves this package: it becomes a ConfigError with the layer's name
    """An operation has no bound; the text says why."""


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
        """Append a step; its shape is found by taking it."""
        with torch.no_grad():
            given = [torch.zeros(1, *self.shape_of(ref), dtype=torch.float64) for ref in inputs]
            shape = tuple(step.value(*given).shape[1:])
        self.nodes.append(Node(self.name, step, tuple(ref.number for ref in inputs), shape))
        return Ref(len(self.nodes) - 1)

    def graph(self, output: Ref) -> Graph:
        """Return what was written, its last node the output and nothing beside the way there."""
        needed = {output.number}
        for number in range(output.number, 0, -1):
            if number in needed:
                needed.update(self.nodes[number].inputs)
        order = sorted(needed | {0})
        place = {old: new for new, old in enumerate(order)}
        nodes = [self.nodes[old] for old in order]
        return Graph([Node(n.name, n.step, tuple(place[i] for i in n.inputs), n.shape) for n in nodes])

    # --- affine steps

    def linear(self, x: Ref, weight: Tensor, bias: Tensor | None = None) -> Ref:
        """Append a fully connected layer."""
        weight = exact(weight)
        return self.add(Dense(weight, weight.new_zeros(len(weight)) if bias is None else exact(bias)), x)

    def convolution(
        self,
        x: Ref,
        weight: Tensor,
        bias: Tensor | None = None,
        stride: Any = 1,
        padding: Any = 0,
        dilation: Any = 1,
        groups: int = 1,
    ) -> Ref:
        """Append a two-dimensional convolution with zero padding."""
        if len(self.shape_of(x)) != 3:
            raise Unbounded("a convolution of something that is no batch of images")
        weight, dilation = exact(weight), pair(dilation)
        if padding == "valid":
            padding = 0
        if padding == "same":
            whole = [d * (k - 1) for d, k in zip(dilation, weight.shape[2:], strict=True)]
            ahead = [n // 2 for n in whole]
            # torch puts what is left over behind.
            sides = (ahead[1], whole[1] - ahead[1], ahead[0], whole[0] - ahead[0])
            x, padding = self.padded(x, sides), 0
        bias = weight.new_zeros(len(weight)) if bias is None else exact(bias)
        step = Convolution(weight, bias, pair(stride), pair(padding), dilation, int(groups))
        return self.add(step, x)

    def scaled(self, x: Ref, factor: Tensor | float, shift: Tensor | float) -> Ref:
        """Append a factor and a shift; constants broadcast against the values."""
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

    def gathered(self, x: Ref, apply: Callable[[Tensor], Tensor], fan: int = 1) -> Ref:
        """Append a linear operation with weights of at least zero."""
        return self.add(Gathering(apply, fan), x)

    def normalised(
        self, x: Ref, mean: Tensor, variance: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float
    ) -> Ref:
        """Append batch norm with fixed statistics."""
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
        """Append a reshape; the batch must stay what it is."""
        count = math.prod(self.shape_of(x))
        if len(wanted) == 1 and isinstance(wanted[0], list | tuple | torch.Size):
            wanted = tuple(wanted[0])
        first, rest = wanted[0], list(wanted[1:])
        if not (isinstance(first, Batch) or first == -1) or any(isinstance(n, Batch) for n in rest):
            raise Unbounded(f"a reshape to {_told(wanted)}, which may mix images of a batch")
        if -1 in rest:
            known = math.prod(n for n in rest if n != -1)
            rest[rest.index(-1)] = count // max(known, 1)
        if math.prod(rest) != count:
            raise Unbounded(f"a reshape to {_told(wanted)}, which mixes images of a batch")
        return self.gathered(x, lambda t: t.reshape(len(t), *rest))

    def flattened(self, x: Ref, start: int = 0, end: int = -1) -> Ref:
        """Append a flatten; the batch must stay what it is."""
        rank = len(self.shape_of(x)) + 1
        if start % rank == 0:
            raise Unbounded("a flatten that mixes the images of a batch: start at 1")
        return self.gathered(x, lambda t: t.flatten(start, end))

    def averaged(self, x: Ref, axes: Any, keep: bool = False, mean: bool = True) -> Ref:
        """Append a mean or a sum over axes other than the batch."""
        shape = self.shape_of(x)
        listed = range(len(shape) + 1) if axes is None else [axes] if isinstance(axes, int) else axes
        places = tuple(axis % (len(shape) + 1) for axis in listed)
        if 0 in places:
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

    def clamped(self, x: Ref, low: float | None, high: float | None) -> Ref:
        """Append max(low, min(high, x)), as ReLUs."""
        if high is not None:  # min(x, high) = high - relu(high - x)
            x = self.scaled(self.rectified(self.scaled(x, -1.0, float(high))), -1.0, float(high))
        if low is not None:
            x = self.scaled(self.rectified(self.scaled(x, 1.0, -float(low))), 1.0, float(low))
        return x

    def larger(self, one: Ref, other: Ref) -> Ref:
        """Append the larger of two: one + relu(other - one), so that bounds can split it."""
        apart = self.add(Sum((1.0, -1.0)), other, one)
        return self.add(Sum((1.0, 1.0)), one, self.rectified(apart))

    def max_pooled(
        self, x: Ref, kernel: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1, ceil: bool = False
    ) -> Ref:
        """Append a max pooling, one axis after the other, as maxima of two."""
        shape = self.shape_of(x)
        if len(shape) != 3:
            raise Unbounded("a max pooling of something that is no batch of images")
        kernel, padding, dilation = pair(kernel), pair(padding), pair(dilation)
        stride = kernel if stride is None or stride == [] else pair(stride)
        for axis in (0, 1):
            settings = (kernel[axis], stride[axis], padding[axis], dilation[axis], ceil)
            x = self._maximum(x, axis + 2, pooling_windows(shape[1 + axis], *settings))
        return x

    def adaptive_max_pooled(self, x: Ref, size: Any) -> Ref:
        """Append a max pooling to a given size."""
        shape = self.shape_of(x)
        for axis, wanted in enumerate(pair(size)):
            x = self._maximum(x, axis + 2, adaptive_windows(shape[1 + axis], wanted))
        return x

    def _maximum(self, x: Ref, axis: int, windows: list[list[int]]) -> Ref:
        """Append the maximum over windows along one axis of the batch."""
        longest = max(len(window) for window in windows)
        parts = []
        for turn in range(longest):
            # A window that is shorter than others says its last value again, which changes no maximum.
            index = torch.tensor([window[min(turn, len(window) - 1)] for window in windows])
            parts.append(self.add(Selection(axis, index), x))
        while len(parts) > 1:
            paired = [self.larger(a, b) for a, b in zip(parts[::2], parts[1::2], strict=False)]
            parts = paired + parts[2 * len(paired) :]
        return parts[0]


def pooling_windows(
    size: int, kernel: int, stride: int, padding: int, dilation: int, ceil: bool
) -> list[list[int]]:
    """Return the places each window of a pooling covers along an axis of that size, as torch has them."""
    reach = dilation * (kernel - 1) + 1
    room = size + 2 * padding - reach
    count = (-(-room // stride) if ceil else room // stride) + 1
    if ceil and (count - 1) * stride >= size + padding:
        count -= 1  # the last window starts inside the image or its left padding
    starts = [i * stride - padding for i in range(count)]
    windows = [[s + dilation * j for j in range(kernel) if 0 <= s + dilation * j < size] for s in starts]
    if not windows or not all(windows):
        raise Unbounded("a pooling with windows that see nothing of the image")
    return windows


def adaptive_windows(size: int, wanted: int | None) -> list[list[int]]:
    """Return the places each window of an adaptive pooling covers along an axis of that size."""
    count = size if wanted is None else wanted
    return [list(range(i * size // count, -(-(i + 1) * size // count))) for i in range(count)]


def exact(tensor: Tensor) -> Tensor:
    """Return constants in float64, apart from the user's; refuse what is not a finite real number."""
    if tensor.is_complex() or tensor.is_quantized:
        raise Unbounded("weights that are no real numbers")
    found = tensor.detach().to("cpu", torch.float64, copy=True)
    if not bool(torch.isfinite(found).all()):
        raise Unbounded("weights that are not finite")
    return found


def pair(value: Any) -> tuple[int, int]:
    """Return a setting for both axes."""
    if isinstance(value, int):
        return value, value
    values = tuple(value)
    return cast("tuple[int, int]", values * 2 if len(values) == 1 else values)


def _told(value: Any) -> str:
    return str(tuple("batch" if isinstance(v, Batch) else v for v in value))


# --- modules


def _batch_norm(reader: Reader, layer: Any, x: Ref) -> Ref:
    if layer.running_mean is None or layer.running_var is None:
        raise Unbounded("a batch norm without running statistics: it depends on the other images of a batch")
    return reader.normalised(x, layer.running_mean, layer.running_var, layer.weight, layer.bias, layer.eps)


def _conv(reader: Reader, layer: Any, x: Ref) -> Ref:
    if layer.padding_mode != "zeros":
        raise Unbounded(f"a convolution with padding {layer.padding_mode!r}: bounds know zero padding")
    return reader.convolution(
        x, layer.weight, layer.bias, layer.stride, layer.padding, layer.dilation, layer.groups
    )


def _max_pool(reader: Reader, layer: Any, x: Ref) -> Ref:
    if layer.return_indices:
        raise Unbounded("a max pooling that returns indices")
    return reader.max_pooled(
        x, layer.kernel_size, layer.stride, layer.padding, layer.dilation, layer.ceil_mode
    )


def _avg_pool(reader: Reader, layer: Any, x: Ref) -> Ref:
    kernel = pair(layer.kernel_size)
    return reader.gathered(x, _frozen(layer), kernel[0] * kernel[1])


def _adaptive_avg(reader: Reader, layer: Any, x: Ref) -> Ref:
    return reader.gathered(x, _frozen(layer), math.prod(reader.shape_of(x)[1:]))


def _frozen(layer: Any) -> Callable[[Tensor], Tensor]:
    """Return a pooling as a function of its settings alone, which the user's layer keeps to itself."""
    if isinstance(layer, nn.AdaptiveAvgPool2d):
        size = layer.output_size
        return lambda t: F.adaptive_avg_pool2d(t, size)
    settings = (layer.kernel_size, layer.stride, layer.padding, layer.ceil_mode, layer.count_include_pad)
    divisor = layer.divisor_override
    return lambda t: F.avg_pool2d(t, *settings, divisor)


MODULES: dict[type, Callable[[Reader, Any, Ref], Ref]] = {
    nn.Linear: lambda r, m, x: r.linear(x, m.weight, m.bias),
    nn.Conv2d: _conv,
    nn.BatchNorm1d: _batch_norm,
    nn.BatchNorm2d: _batch_norm,
    nn.ReLU: lambda r, m, x: r.rectified(x),
    nn.LeakyReLU: lambda r, m, x: r.rectified(x, m.negative_slope),
    nn.ReLU6: lambda r, m, x: r.clamped(x, 0.0, 6.0),
    nn.Hardtanh: lambda r, m, x: r.clamped(x, m.min_val, m.max_val),
    nn.MaxPool2d: _max_pool,
    nn.AdaptiveMaxPool2d: lambda r, m, x: r.adaptive_max_pooled(x, m.output_size),
    nn.AvgPool2d: _avg_pool,
    nn.AdaptiveAvgPool2d: _adaptive_avg,
    nn.ZeroPad2d: lambda r, m, x: r.padded(x, m.padding),
    nn.Flatten: lambda r, m, x: r.flattened(x, m.start_dim, m.end_dim),
    nn.Unflatten: lambda r, m, x: _unflattened(r, x, m.dim, m.unflattened_size),
    nn.Identity: lambda r, m, x: x,
    nn.Dropout: lambda r, m, x: x,
    nn.Dropout1d: lambda r, m, x: x,
    nn.Dropout2d: lambda r, m, x: x,
    nn.AlphaDropout: lambda r, m, x: x,
}
"""What each layer becomes in evaluation mode."""


def _unflattened(reader: Reader, x: Ref, axis: int, sizes: Any) -> Ref:
    if axis % (len(reader.shape_of(x)) + 1) == 0:
        raise Unbounded("an unflatten of the batch")
    return reader.gathered(x, lambda t: torch.unflatten(t, axis, tuple(sizes)))


# --- functions


def _add(reader: Reader, one: Any, other: Any, sign: float = 1.0, *, alpha: float = 1) -> Any:
    if alpha != 1:
        raise Unbounded("an addition with alpha")
    if isinstance(one, Ref) and isinstance(other, Ref):
        if reader.shape_of(one) != reader.shape_of(other):
            got = f"{reader.shape_of(one)} and {reader.shape_of(other)}"
            raise Unbounded(f"a sum of values of different shapes, {got}")
        return reader.add(Sum((1.0, sign)), one, other)
    if isinstance(one, Ref):
        return reader.scaled(one, 1.0, sign * torch.as_tensor(other))
    return reader.scaled(other, sign, one)


def _multiply(reader: Reader, one: Any, other: Any) -> Any:
    if isinstance(one, Ref) and isinstance(other, Ref):
        raise Unbounded("a product of two values that both depend on the image")
    return reader.scaled(one, other, 0.0) if isinstance(one, Ref) else reader.scaled(other, one, 0.0)


def _divide(reader: Reader, one: Any, other: Any) -> Any:
    if not isinstance(one, Ref) or isinstance(other, Ref):
        raise Unbounded("a division by values that depend on the image")
    return reader.scaled(one, 1 / exact(torch.as_tensor(other)), 0.0)


def _index(reader: Reader, x: Any, place: Any) -> Any:
    if not isinstance(x, Ref):
        return x[place]
    places = place if isinstance(place, tuple) else (place,)
    allowed = all(p is Ellipsis or p is None or isinstance(p, slice | int) for p in places)
    if not allowed or places[0] != slice(None):
        raise Unbounded("an index other than slices and numbers that leave the batch alone")
    return reader.gathered(x, lambda t: t[places])


def _pad(reader: Reader, x: Ref, pad: Any, mode: str = "constant", value: float | None = None) -> Ref:
    if mode != "constant" or value not in (None, 0, 0.0):
        raise Unbounded(f"padding of mode {mode!r} with {value}: bounds know zeros")
    return reader.padded(x, pad)


def _batch_normed(
    reader: Reader,
    x: Ref,
    running_mean: Any,
    running_var: Any,
    weight: Any = None,
    bias: Any = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Ref:
    del momentum
    if training or running_mean is None or running_var is None:
        raise Unbounded("a batch norm that depends on the other images of a batch")
    return reader.normalised(x, running_mean, running_var, weight, bias, eps)


def _dropped(reader: Reader, x: Ref, p: float = 0.5, training: bool = True, inplace: bool = False) -> Ref:
    del reader, inplace
    if training and p > 0:
        raise Unbounded("dropout that is on in evaluation mode")
    return x


def _max_pool_function(
    reader: Reader,
    x: Ref,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Ref:
    if return_indices:
        raise Unbounded("a max pooling that returns indices")
    return reader.max_pooled(x, kernel_size, stride, padding, dilation, ceil_mode)


def _avg_pool_function(
    reader: Reader,
    x: Ref,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Ref:
    settings = (kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)
    return reader.gathered(x, lambda t: F.avg_pool2d(t, *settings), math.prod(pair(kernel_size)))


def _mean(reader: Reader, x: Ref, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Ref:
    del dtype
    return reader.averaged(x, dim, keepdim)


def _sum(reader: Reader, x: Ref, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Ref:
    del dtype
    return reader.averaged(x, dim, keepdim, mean=False)


def _cat(reader: Reader, tensors: Any, dim: int = 0, *, axis: int | None = None) -> Ref:
    if not all(isinstance(t, Ref) for t in tensors):
        raise Unbounded("a concatenation with constants")
    return reader.joined(tensors, dim if axis is None else axis)


def _size(reader: Reader, x: Any, dim: int | None = None) -> Any:
    whole = (Batch(), *reader.shape_of(x))
    return whole if dim is None else whole[dim]


def _attribute(reader: Reader, x: Any, name: str) -> Any:
    if isinstance(x, Ref) and name == "shape":
        return _size(reader, x)
    if isinstance(x, Ref):
        raise Unbounded(f"the attribute `{name}` of values")
    return getattr(x, name)


def _permuted(reader: Reader, x: Ref, *axes: Any) -> Ref:
    order = axes[0] if len(axes) == 1 and not isinstance(axes[0], int) else axes
    if order[0] != 0:
        raise Unbounded("a permutation that moves the batch")
    return reader.gathered(x, lambda t: t.permute(*order))


def _transposed(reader: Reader, x: Ref, one: int, other: int) -> Ref:
    rank = len(reader.shape_of(x)) + 1
    if 0 in (one % rank, other % rank):
        raise Unbounded("a transpose that moves the batch")
    return reader.gathered(x, lambda t: t.transpose(one, other))


def _squeezed(reader: Reader, x: Ref, *axes: Any) -> Ref:
    rank = len(reader.shape_of(x)) + 1
    if not axes or any(axis % rank == 0 for axis in axes if isinstance(axis, int)):
        raise Unbounded("a squeeze that may drop the batch")
    return reader.gathered(x, lambda t: t.squeeze(*axes))


def _unsqueezed(reader: Reader, x: Ref, axis: int) -> Ref:
    if axis % (len(reader.shape_of(x)) + 2) == 0:
        raise Unbounded("an unsqueeze before the batch")
    return reader.gathered(x, lambda t: t.unsqueeze(axis))


def _same(reader: Reader, x: Any, *args: Any, **kwargs: Any) -> Any:
    del reader, args, kwargs
    return x


FUNCTIONS: dict[Any, Callable[..., Any]] = {
    F.linear: lambda r, x, weight, bias=None: r.linear(x, weight, bias),
    F.conv2d: lambda r, x, *a, **k: r.convolution(x, *a, **k),
    F.batch_norm: _batch_normed,
    F.relu: lambda r, x, inplace=False: r.rectified(x),
    torch.relu: lambda r, x: r.rectified(x),
    F.leaky_relu: lambda r, x, negative_slope=0.01, inplace=False: r.rectified(x, negative_slope),
    F.relu6: lambda r, x, inplace=False: r.clamped(x, 0.0, 6.0),
    F.hardtanh: lambda r, x, min_val=-1.0, max_val=1.0, inplace=False: r.clamped(x, min_val, max_val),
    torch.clamp: lambda r, x, min=None, max=None: r.clamped(x, min, max),
    torch.maximum: lambda r, a, b: r.larger(a, b),
    F.max_pool2d: _max_pool_function,
    F.adaptive_max_pool2d: lambda r, x, output_size: r.adaptive_max_pooled(x, output_size),
    F.avg_pool2d: _avg_pool_function,
    F.adaptive_avg_pool2d: lambda r, x, output_size: r.gathered(
        x, lambda t: F.adaptive_avg_pool2d(t, output_size), math.prod(r.shape_of(x)[1:])
    ),
    F.dropout: _dropped,
    F.dropout2d: _dropped,
    F.pad: _pad,
    torch.flatten: lambda r, x, start_dim=0, end_dim=-1: r.flattened(x, start_dim, end_dim),
    torch.reshape: lambda r, x, *shape: r.reshaped(x, shape),
    torch.mean: _mean,
    torch.sum: _sum,
    torch.cat: _cat,
    torch.add: _add,
    torch.sub: lambda r, a, b: _add(r, a, b, -1.0),
    torch.mul: _multiply,
    torch.div: _divide,
    torch.permute: _permuted,
    torch.transpose: _transposed,
    torch.squeeze: _squeezed,
    torch.unsqueeze: _unsqueezed,
    torch.neg: lambda r, x: r.scaled(x, -1.0, 0.0),
    operator.add: _add,
    operator.iadd: _add,
    operator.sub: lambda r, a, b: _add(r, a, b, -1.0),
    operator.isub: lambda r, a, b: _add(r, a, b, -1.0),
    operator.mul: _multiply,
    operator.imul: _multiply,
    operator.truediv: _divide,
    operator.itruediv: _divide,
    operator.neg: lambda r, x: r.scaled(x, -1.0, 0.0),
    operator.getitem: _index,
    getattr: _attribute,
}
"""What each function becomes; its first argument is the reader."""

METHODS: dict[str, Callable[..., Any]] = {
    "relu": lambda r, x: r.rectified(x),
    "relu_": lambda r, x: r.rectified(x),
    "clamp": FUNCTIONS[torch.clamp],
    "clamp_min": lambda r, x, low: r.clamped(x, low, None),
    "clamp_max": lambda r, x, high: r.clamped(x, None, high),
    "flatten": FUNCTIONS[torch.flatten],
    "view": lambda r, x, *shape: r.reshaped(x, shape),
    "reshape": lambda r, x, *shape: r.reshaped(x, shape),
    "mean": _mean,
    "sum": _sum,
    "add": _add,
    "add_": _add,
    "sub": FUNCTIONS[torch.sub],
    "sub_": FUNCTIONS[torch.sub],
    "mul": _multiply,
    "mul_": _multiply,
    "div": _divide,
    "div_": _divide,
    "neg": FUNCTIONS[torch.neg],
    "permute": _permuted,
    "transpose": _transposed,
    "squeeze": _squeezed,
    "unsqueeze": _unsqueezed,
    "size": _size,
    "contiguous": _same,
    "clone": lambda r, x, **kwargs: r.gathered(x, lambda t: t),
    "float": _same,
}
"""What each method of a tensor becomes."""

IN_PLACE = {
    "relu_",
    "add_",
    "sub_",
    "mul_",
    "div_",
    operator.iadd,
    operator.isub,
    operator.imul,
    operator.itruediv,
}
"""What also changes the tensor it is given."""


def refusal(layer: str, why: str) -> ConfigError:
    """Return the error for a layer that has no bound."""
    return ConfigError(
        where=f"layer {layer}",
        expected="linear and convolution layers, ReLU, pooling, batch norm and sums, which bounds know",
        got=why,
        do="See docs/bounds.md for what is bounded; attacks and smoothing do without bounds",
    )
