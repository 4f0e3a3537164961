"""Bounds of every node of a network around images, and of the margins of the true class."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from robench.bounds.backward import Backward
from robench.bounds.graph import Graph
from robench.bounds.intervals import Interval, interval_of, magnitude
from robench.bounds.rectifier import Lines, Rectifier
from robench.bounds.region import Region
from robench.bounds.rounding import UNIT
from robench.bounds.rows import Rows
from robench.bounds.slopes import optimised
from robench.types import IntPerRow, Labels, Outputs, PerRow, RowMask, RowNumbers

ELEMENTS = 2**19
"""Most coefficients that are propagated back at once: 32 MiB in float64."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Effort:
    """How much work is done for bounds.

    Attributes:
        crown: propagate functions back; otherwise only interval bounds.
        combined: keep the better of CROWN and intervals for each neuron whose sign intervals do not fix;
            otherwise CROWN's own bound, as published.
        inner_steps: of Adam for the slopes under each neuron whose sign is not fixed.
        outer_steps: for the slopes under each margin.
        step_size: the first of Adam.
    """

    crown: bool = True
    combined: bool = True
    inner_steps: int = 0
    outer_steps: int = 0
    step_size: float = 0.1


@dataclass(slots=True, eq=False)
class Bounded:
    """Bounds of a network over a region around B images, valid for real numbers.

    Attributes:
        exact: the network in float64.
        rough: the network in float32.
        region: around the images, in float64.
        intervals: lowest and highest values of every node.
        lines: of every rectifier.
        magnitudes: see `Backward`.
    """

    exact: Graph
    rough: Graph
    region: Region
    intervals: list[Interval] = field(default_factory=list)
    lines: dict[int, Lines] = field(default_factory=dict)
    magnitudes: dict[int, Tensor] = field(default_factory=dict)

    @property
    def backward(self) -> Backward:
        """The backward propagation in float64, with rounding errors subtracted."""
        return Backward(self.exact, self.lines, self.region, self.magnitudes)

    def rough_backward(self) -> Backward:
        """Return the backward propagation in float32."""
        lines = {number: lines.to(torch.float32) for number, lines in self.lines.items()}
        return Backward(self.rough, lines, self.region.to(torch.float32))

    def of(self, index: RowNumbers | RowMask) -> Bounded:
        """Return the bounds of some of the images."""
        return Bounded(
            self.exact,
            self.rough,
            self.region.of(index),
            [(low[index], high[index]) for low, high in self.intervals],
            {number: lines.of(index) for number, lines in self.lines.items()},
            {number: sizes[index] for number, sizes in self.magnitudes.items()},
        )


@torch.no_grad()
def bounded(exact: Graph, rough: Graph, region: Region, effort: Effort) -> Bounded:
    """Bound every node in turn; inputs of rectifiers by CROWN, if their sign is not fixed."""
    result = Bounded(exact, rough, region, [(region.low, region.high)])
    targets = {exact.nodes[number].inputs[0] for number in exact.rectifiers}
    for number, node in enumerate(exact.nodes[1:], start=1):
        inputs = [result.intervals[i] for i in node.inputs]
        result.intervals.append(interval_of(node, inputs, [exact.nodes[i].shape for i in node.inputs]))
        if isinstance(node.step, Rectifier):
            ((low, high),) = inputs
            result.lines[number] = Lines.between(low, high, node.step.slope)
            size = torch.maximum(low.abs(), high.abs()).maximum(result.lines[number].raised.abs())
            result.magnitudes[number] = size.flatten(1).amax(dim=1) * (1 + 1e-6)
            continue
        result.magnitudes[number] = magnitude(node, inputs)
        exactly = region.norm == "Linf" and exact.mixes(number) <= 1
        if effort.crown and number in targets and not exactly:
            _refine(result, number, effort)
    return result


def _refine(bounds: Bounded, node: int, effort: Effort) -> None:
    """Replace the interval of each value whose sign is not fixed by CROWN's, or by the better of both."""
    low, high = (side.flatten(1).contiguous() for side in bounds.intervals[node])
    owner, place = ((low < 0) & (high > 0)).nonzero(as_tuple=True)
    shape = bounds.exact.nodes[node].shape
    for sign, side in ((-1.0, high), (1.0, low)):
        values = neuron_bounds(bounds, node, owner, place, sign, effort.inner_steps, effort.step_size)
        best = torch.maximum(sign * side[owner, place], values) if effort.combined else values
        side[owner, place] = sign * best
        if sign < 0 and _cut_at_zero(bounds.exact, node):
            # For a value that is certainly at most zero, its exact lower bound does not matter.
            rest = high[owner, place] > 0
            owner, place = owner[rest], place[rest]
    bounds.intervals[node] = (low.view(-1, *shape), high.view(-1, *shape))


def _cut_at_zero(graph: Graph, node: int) -> bool:
    """Tell whether only the positive part of a node's values is used."""
    users = [other.step for other in graph.nodes[1:] if node in other.inputs]
    return node != graph.output and all(isinstance(step, Rectifier) and not step.slope for step in users)


@torch.no_grad()
def neuron_bounds(
    found: Bounded, node: int, owner: IntPerRow, place: IntPerRow, sign: float, steps: int, step_size: float
) -> PerRow:
    """Return lower bounds (N,) of sign times single values of a node."""
    values = [found.region.x.new_zeros(0)]
    for part in _chunks(found, node, owner):
        signs = torch.full_like(place[part], sign)
        exact = found.backward
        start, rows, offset = exact.neurons(node, owner[part], place[part], signs)
        value = exact.lower(start, rows)[0] + offset
        if steps:
            rough = found.rough_backward()
            start, rows32, _ = rough.neurons(node, owner[part], place[part], signs)
            slopes = optimised(rough, start, rows32, steps=steps, step_size=step_size)
            slopes = {number: s.double() for number, s in slopes.items()}
            value = torch.maximum(value, exact.lower(start, rows, slopes=slopes)[0] + offset)
        values.append(value - 4 * UNIT * (value.abs() + offset.abs()))  # of adding the constant
    return torch.cat(values)


def _chunks(bounds: Bounded, node: int, owner: Tensor) -> list[slice]:
    """Return slices of neurons whose coefficients fit into memory at once."""
    largest = max(low[0].numel() for low, _ in bounds.intervals[: node + 1])
    if len(bounds.exact.nodes[node].shape) == 3:
        largest //= 8  # windows, at least on most of the way
    length = max(16, ELEMENTS // max(1, largest))
    return [slice(i, i + length) for i in range(0, len(owner), length)]


def margin_rows(classes: int, y: Labels, owner: IntPerRow, rival: IntPerRow, dtype: torch.dtype) -> Rows:
    """Return the functions `true class minus rival` of the outputs, for image `owner` (N,) each."""
    a = torch.zeros(len(owner), classes, dtype=dtype)
    number = torch.arange(len(owner))
    a[number, y[owner]] = 1.0
    a[number, rival] -= 1.0
    return Rows(a, owner)


def rivals(classes: int, y: Labels) -> tuple[IntPerRow, IntPerRow]:
    """Return every (image, wrong class), both (B * (K - 1),), in order."""
    wrong = torch.ones(len(y), classes, dtype=torch.bool)
    wrong[torch.arange(len(y)), y] = False
    owner, rival = wrong.nonzero(as_tuple=True)
    return owner, rival


@torch.no_grad()
def margin_bounds(found: Bounded, y: Labels, effort: Effort) -> Outputs:
    """Return lower bounds (B, K) of the true class's output minus each other's; 0 for itself."""
    output = found.exact.output
    (classes,) = found.exact.nodes[output].shape
    owner, rival = rivals(classes, y)
    low, high = found.intervals[output]
    values = low[owner, y[owner]] - high[owner, rival]
    values = values - 4 * UNIT * values.abs()
    if effort.crown:
        exact, rough = found.backward, found.rough_backward()
        largest = max(side[0].numel() for side, _ in found.intervals)
        length = max(9, ELEMENTS // largest)
        for i in range(0, len(owner), length):
            part = slice(i, i + length)
            rows = margin_rows(classes, y, owner[part], rival[part], torch.float64)
            values[part] = torch.maximum(values[part], exact.lower(output, rows)[0])
            if effort.outer_steps:
                start = margin_rows(classes, y, owner[part], rival[part], torch.float32)
                slopes = optimised(rough, output, start, steps=effort.outer_steps, step_size=effort.step_size)
                slopes = {number: s.double() for number, s in slopes.items()}
                values[part] = torch.maximum(values[part], exact.lower(output, rows, slopes=slopes)[0])
    margins = values.new_zeros(len(y), classes)
    margins[owner, rival] = values
    return margins
