"""Subdomains of a region, by the signs of rectifiers' inputs, and the choice of further splits.

Candidates are the rectifiers whose relaxation lowers the bound most at its own minimiser, and those that
lower it most in the worst case (Bunel et al. 2020); each is tried by one cheap bound of both halves, and the
best is split (filtered smart branching: De Palma et al. 2021, arXiv:2104.06718, section 3).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from robench.bounds.backward import Backward
from robench.bounds.network import Bounded
from robench.bounds.passes import Passes
from robench.bounds.rectifier import PackedLines, Passing, Rectifier
from robench.bounds.rows import Rows
from robench.types import (
    Coefficients,
    IntPerRow,
    OutputFunctions,
    PerRow,
    RowMask,
    RowNumbers,
    SplitSigns,
    SplitValues,
)


@dataclass(frozen=True, slots=True, eq=False)
class Layer:
    """The rectifiers of one layer whose sign is not fixed over the whole region around one image.

    Attributes:
        number: of the layer.
        part: their slice in the row of all U such rectifiers.
        slope: slope of their negative branch.
        lines: their lines, (1, u) each; `place` has their positions.
        ends: lowest and highest inputs, (1, u) each.
    """

    number: int
    part: slice
    slope: float
    lines: PackedLines
    ends: tuple[Tensor, Tensor]

    def to(self, dtype: torch.dtype) -> Layer:
        """Return the same layer in another type."""
        names = ("base", "lower", "upper", "raised", "pressure")
        lines = replace(self.lines, **{name: getattr(self.lines, name).to(dtype) for name in names})
        return replace(self, lines=lines, ends=(self.ends[0].to(dtype), self.ends[1].to(dtype)))

    def within(self, split: SplitSigns, slopes: SplitValues, pressure: SplitValues) -> PackedLines:
        """Return the lines in subdomains, (N, U) each."""
        split, slopes, pressure = split[:, self.part], slopes[:, self.part], pressure[:, self.part]
        is_split = split != 0
        exact = torch.where(split > 0, 1.0, self.slope).to(slopes.dtype)
        return replace(
            self.lines,
            lower=torch.where(is_split, exact, slopes),
            upper=torch.where(is_split, exact, self.lines.upper),
            raised=torch.where(is_split, 0.0, self.lines.raised),
            pressure=-pressure * split,
        )


def layers_of(found: Bounded) -> list[Layer]:
    """Return the layers with rectifiers without a fixed sign, for the bounds of one image."""
    layers, end = [], 0
    for number, lines in found.lines.items():
        place = lines.loose[0].flatten().nonzero().squeeze(1)
        if not len(place):
            continue
        columns = {name: getattr(lines, name).flatten(1)[:, place] for name in ("usual", "upper", "raised")}
        step, source = found.exact.nodes[number].step, found.exact.nodes[number].inputs[0]
        assert isinstance(step, Rectifier)
        low, high = (side.flatten(1)[:, place] for side in found.intervals[source])
        pack = PackedLines(
            torch.where(lines.loose, 0.0, lines.upper),
            place,
            columns["usual"],
            columns["upper"],
            columns["raised"],
            torch.zeros_like(columns["upper"]),
        )
        layers.append(Layer(number, slice(end, end + len(place)), step.slope, pack, (low, high)))
        end += len(place)
    return layers


@dataclass(frozen=True, slots=True, eq=False)
class Domains:
    """N subdomains of the region around one image, each for one function of the outputs.

    Attributes:
        functions: (N, K) coefficients of the outputs.
        split: (N, U) 1 for inputs of at least zero, -1 for at most zero, 0 for no restriction.
        slopes: (N, U) of lower lines, float32.
        pressure: (N, U) multipliers of the splits, at least zero, float32.
        bound: (N,) lower bounds of the functions.
    """

    functions: Tensor
    split: Tensor
    slopes: Tensor
    pressure: Tensor
    bound: Tensor

    def __len__(self) -> int:
        return len(self.functions)

    def of(self, index: RowNumbers | RowMask | slice | Sequence[int]) -> Domains:
        """Return some of them."""
        return Domains(*(getattr(self, name)[index] for name in _PARTS))

    @classmethod
    def joined(cls, parts: Sequence[Domains]) -> Domains:
        """Return several together."""
        return cls(*(torch.cat([getattr(part, name) for part in parts]) for name in _PARTS))


_PARTS = ("functions", "split", "slopes", "pressure", "bound")


@dataclass(frozen=True, slots=True, eq=False)
class Splitter:
    """Bounds subdomains of the region around one image.

    Attributes:
        exact: propagates functions back in float64.
        rough: the same in float32.
        layers: with rectifiers without a fixed sign, in float64.
        rough_layers: the same in float32.
        passes: the passes so far.
    """

    exact: Backward
    rough: Backward
    layers: list[Layer]
    rough_layers: list[Layer]
    passes: Passes = field(default_factory=Passes)

    @classmethod
    def of(cls, found: Bounded, passes: Passes | None = None) -> Splitter:
        """Return a splitter for the region of the bounds of one image; it adds its passes to `passes`."""
        layers = layers_of(found)
        rough_layers = [layer.to(torch.float32) for layer in layers]
        return cls(found.backward, found.rough_backward(), layers, rough_layers, passes or Passes())

    @property
    def width(self) -> int:
        """U, the number of rectifiers without a fixed sign."""
        return self.layers[-1].part.stop if self.layers else 0

    def root(self, functions: OutputFunctions) -> Domains:
        """Return the whole region for each of the functions (F, K), not yet bounded."""
        count = len(functions)
        slopes = [layer.lines.lower for layer in self.rough_layers]
        row = torch.cat(slopes, dim=1) if slopes else torch.zeros(1, 0)
        return Domains(
            functions,
            torch.zeros(count, self.width, dtype=torch.int8),
            row.repeat(count, 1),
            torch.zeros(count, self.width),
            torch.full((count,), -torch.inf, dtype=torch.float64),
        )

    def within(self, domains: Domains, *, exact: bool) -> Backward:
        """Return the backward propagation in each of N subdomains."""
        backward, layers = (self.exact, self.layers) if exact else (self.rough, self.rough_layers)
        lines: dict[int, Passing] = dict(backward.lines)
        dtype = backward.region.x.dtype
        for layer in layers:
            # For exact bounds slopes are clamped to the valid range; a search stays in it by itself, and
            # clamping would hide the derivative at its ends.
            slopes = domains.slopes.to(dtype).clamp(layer.slope, 1.0) if exact else domains.slopes
            lines[layer.number] = layer.within(domains.split, slopes, domains.pressure.to(dtype))
        return replace(backward, lines=lines)

    @torch.no_grad()
    def exact_bounds(self, domains: Domains) -> tuple[PerRow, Coefficients]:
        """Return lower bounds (N,) that hold for real numbers, and the approximate minimiser of each."""
        self.passes.book(backwards=len(domains))
        backward = self.within(domains, exact=True)
        bound, at = backward.lower(backward.graph.output, Rows(domains.functions, None))
        return bound, backward.region.least_at(at)

    @torch.no_grad()
    def rough_bounds(self, domains: Domains) -> PerRow:
        """Return bounds (N,) in float32, which only guide the search."""
        self.passes.book(backwards=len(domains))
        backward = self.within(domains, exact=False)
        return backward.lower(backward.graph.output, Rows(domains.functions.float(), None))[0]

    def improved(self, domains: Domains, *, steps: int, step_sizes: tuple[float, float]) -> Domains:
        """Return the same subdomains with better slopes and multipliers; their bounds are not changed.

        Args:
            domains: the subdomains.
            steps: of Adam.
            step_sizes: its first step sizes for slopes and for multipliers.
        """
        if not self.layers:
            return domains
        self.passes.book(forwards=steps * len(domains), backwards=steps * len(domains))
        rows = Rows(domains.functions.float(), None)
        moving = [domains.slopes.clone(), domains.pressure.clone()]
        first, second = [[torch.zeros_like(leaf) for leaf in moving] for _ in range(2)]
        lowest = torch.cat([torch.full_like(la.lines.lower, la.slope) for la in self.rough_layers], dim=1)
        for turn in range(1, steps + 1):
            for leaf in moving:
                leaf.requires_grad_(True)
            with torch.enable_grad():
                now = replace(domains, slopes=moving[0], pressure=moving[1])
                backward = self.within(now, exact=False)
                value, _ = backward.lower(backward.graph.output, rows)
                gradients = torch.autograd.grad(value.sum(), moving)
            with torch.no_grad():
                for i, (leaf, g) in enumerate(zip(moving, gradients, strict=True)):
                    first[i].mul_(0.9).add_(g, alpha=0.1)
                    second[i].mul_(0.999).addcmul_(g, g, value=0.001)
                    root = (second[i] / (1 - 0.999**turn)).sqrt_().add_(1e-8)
                    size = step_sizes[i] * 0.97 ** (turn - 1) / (1 - 0.9**turn)
                    leaf.addcdiv_(first[i], root, value=size)
                moving[0].clamp_(max=1.0)
                torch.maximum(moving[0], lowest, out=moving[0].data)
                moving[1].clamp_(min=0.0)
        return replace(domains, slopes=moving[0].detach(), pressure=moving[1].detach())

    def costs(self, domains: Domains) -> tuple[SplitValues, SplitValues]:
        """Return how much each open rectifier lowers the bound at the minimiser and at worst, both (N, U)."""
        self.passes.book(forwards=len(domains), backwards=len(domains))
        pressure = domains.pressure.clone().requires_grad_(True)
        coefficients: dict[int, Tensor] = {}
        with torch.enable_grad():
            signs = domains.split
            # A multiplier's derivative is an input at the minimiser: here it is computed for all.
            probe = torch.zeros_like(pressure).requires_grad_(True)
            backward = self.within(domains, exact=False)
            lines = dict(backward.lines)
            for layer in self.rough_layers:
                pack = lines[layer.number]
                assert isinstance(pack, PackedLines)
                lines[layer.number] = replace(pack, pressure=pack.pressure + probe[:, layer.part])
            backward = replace(backward, lines=lines)
            value, _ = backward.lower(
                backward.graph.output, Rows(domains.functions.float(), None), seen=coefficients
            )
            (inputs,) = torch.autograd.grad(value.sum(), probe)
        here, worst = torch.zeros_like(inputs), torch.zeros_like(inputs)
        for layer in self.rough_layers:
            a = coefficients[layer.number].detach().flatten(1)[:, layer.lines.place]
            (low, high), lines_here, slopes = layer.ends, layer.lines, domains.slopes[:, layer.part]
            z = torch.minimum(torch.maximum(inputs[:, layer.part], low), high)
            value_there = torch.where(z > 0, z, layer.slope * z)
            below = value_there - slopes * z
            above = lines_here.upper * z + lines_here.raised - value_there
            here[:, layer.part] = a.clamp(min=0) * below + (-a).clamp(min=0) * above
            most = torch.maximum((layer.slope - slopes) * low, (1 - slopes) * high)
            worst[:, layer.part] = (-a).clamp(min=0) * lines_here.raised + a.clamp(min=0) * most
        is_open = (signs == 0).float()
        return here * is_open, worst * is_open

    def halves(self, domains: Domains, neuron: IntPerRow) -> Domains:
        """Return both halves of each subdomain by the sign of one rectifier (N,): first all of one sign."""
        number = torch.arange(len(domains))
        parts = []
        for sign in (1, -1):
            split, pressure = domains.split.clone(), domains.pressure.clone()
            split[number, neuron] = sign
            pressure[number, neuron] = 0.0
            parts.append(replace(domains, split=split, pressure=pressure))
        return Domains.joined(parts)

    def chosen(self, domains: Domains, candidates: int) -> IntPerRow:
        """Return for each subdomain the rectifier to split, (N,); -1 if none is open."""
        is_open = domains.split == 0
        if not self.width:
            return torch.full((len(domains),), -1)
        count = min(candidates, self.width)
        scores = [score.masked_fill(~is_open, -1.0) for score in self.costs(domains)]
        picks = torch.cat([score.topk(count, dim=1).indices for score in scores], dim=1)
        n, tries = picks.shape
        copies = domains.of(torch.arange(n).repeat_interleave(tries))
        value = self.rough_bounds(self.halves(copies, picks.flatten())).view(2, n, tries)
        gain = (value.clamp(max=0.0) - domains.bound.float()[None, :, None]).clamp(min=1e-6)
        score = gain.amin(dim=0) * 0.8 + gain.amax(dim=0) * 0.2
        score = score.masked_fill(~is_open.gather(1, picks), -1.0)
        neuron = picks.gather(1, score.argmax(dim=1, keepdim=True)).squeeze(1)
        return torch.where(is_open.any(dim=1), neuron, -1)
