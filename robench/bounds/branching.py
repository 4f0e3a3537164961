"""Subdomains of a region, by the signs of rectifiers' inputs, and where to split them further.

Candidates are the rectifiers whose relaxation costs the bound most at its own minimiser, and those that cost it
most in the worst case (Bunel et al. 2020); each is tried by one cheap bound of both halves, and the best is split
(filtered smart branching: De Palma et al. 2021, arXiv:2104.06718, section 3).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from robench.bounds.backward import Backward, Slopes
from robench.bounds.graph import Graph
from robench.bounds.network import Bounded
from robench.bounds.rectifier import Lines, Rectifier
from robench.bounds.rows import Rows


@dataclass(frozen=True, slots=True, eq=False)
class Layout:
    """The rectifiers of one image whose sign is not sure, in a row of U.

    Attributes:
        number: of each rectifier that has some.
        place: where they lie in its flattened values.
        part: their slice of the row.
    """

    number: tuple[int, ...]
    place: tuple[Tensor, ...]
    part: tuple[slice, ...]

    @classmethod
    def of(cls, found: Bounded) -> Layout:
        """Return the layout for the bounds of one image."""
        numbers, places, parts, end = [], [], [], 0
        for number, lines in found.lines.items():
            place = lines.loose[0].flatten().nonzero().squeeze(1)
            if len(place):
                numbers.append(number)
                places.append(place)
                parts.append(slice(end, end + len(place)))
                end += len(place)
        return cls(tuple(numbers), tuple(places), tuple(parts))

    @property
    def width(self) -> int:
        """U."""
        return self.part[-1].stop if self.part else 0

    def spread(self, packed: Tensor, graph: Graph, whole: Mapping[int, Tensor] | None = None) -> dict[int, Tensor]:
        """Return packed values (N, U) as whole layers (N, ...); elsewhere those of `whole` (1, ...), or zero."""
        layers = {}
        for number, place, part in zip(self.number, self.place, self.part, strict=True):
            shape = graph.nodes[number].shape
            if whole is None:
                layer = packed.new_zeros(len(packed), *shape)
            else:
                layer = whole[number].to(packed.dtype).expand(len(packed), *shape).clone()
            layer.view(len(packed), -1)[:, place] = packed[:, part]
            layers[number] = layer
        return layers

    def pack(self, layers: Mapping[int, Tensor]) -> Tensor:
        """Return the values (N, U) of whole layers (N, ...)."""
        chosen = [layers[n].flatten(1)[:, place] for n, place in zip(self.number, self.place, strict=True)]
        return torch.cat(chosen, dim=1)


@dataclass(frozen=True, slots=True, eq=False)
class Domains:
    """N subdomains of the region around one image, each for one function of the outputs.

    Attributes:
        functions: (N, K) coefficients of the outputs.
        split: (N, U) 1 where an input is at least zero, -1 where at most zero, 0 where it is open.
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

    def of(self, index: Tensor | slice | Sequence[int]) -> Domains:
        """Return some of them."""
        names = ("functions", "split", "slopes", "pressure", "bound")
        return Domains(*(getattr(self, name)[index] for name in names))

    @classmethod
    def joined(cls, parts: Sequence[Domains]) -> Domains:
        """Return several together."""
        names = ("functions", "split", "slopes", "pressure", "bound")
        return cls(*(torch.cat([getattr(part, name) for part in parts]) for name in names))


@dataclass(slots=True, eq=False)
class Splitter:
    """Bounds subdomains of the region around one image.

    Args:
        found: bounds over the whole region, of one image.
    """

    found: Bounded
    layout: Layout
    rough: Backward
    exact: Backward

    @classmethod
    def of(cls, found: Bounded) -> Splitter:
        """Return what splits the region of the bounds of one image."""
        return cls(found, Layout.of(found), found.rough_backward(), found.backward)

    def within(self, backward: Backward, split: Tensor) -> Backward:
        """Return what carries functions back in each of N subdomains (N, U)."""
        graph, dtype = backward.graph, backward.region.x.dtype
        lines = dict(backward.lines)
        signs = self.layout.spread(split.to(dtype), graph)
        for number in self.layout.number:
            step = graph.nodes[number].step
            assert isinstance(step, Rectifier)
            lines[number] = _decided(lines[number], signs[number], step.slope)
        return replace(backward, lines=lines)

    def pressure(self, backward: Backward, packed: Tensor, split: Tensor) -> dict[int, Tensor]:
        """Return what the multipliers add to the coefficients of the rectifiers' inputs."""
        signed = self.layout.spread(-packed.to(backward.region.x.dtype) * split, backward.graph)
        return self.at_inputs(backward.graph, signed)

    def at_inputs(self, graph: Graph, layers: Mapping[int, Tensor]) -> dict[int, Tensor]:
        """Return layers of rectifiers by the numbers of the nodes they read; two that read one are added."""
        found: dict[int, Tensor] = {}
        for number, layer in layers.items():
            source = graph.nodes[number].inputs[0]
            found[source] = found[source] + layer if source in found else layer
        return found

    @torch.no_grad()
    def exact_bounds(self, domains: Domains) -> tuple[Tensor, Tensor]:
        """Return lower bounds (N,) that hold for real numbers, and about where in the region each is reached."""
        backward = self.within(self.exact, domains.split)
        rows = Rows(domains.functions, None)
        pressure = self.pressure(backward, domains.pressure, domains.split)
        slopes = self.layout.spread(domains.slopes.double(), backward.graph, self._usual(backward))
        bound, at = backward.lower(backward.graph.output, rows, slopes=slopes, pressure=pressure)
        return bound, backward.region.least_at(at)

    @torch.no_grad()
    def rough_bounds(self, domains: Domains) -> Tensor:
        """Return bounds (N,) in float32, which only lead the search."""
        backward = self.within(self.rough, domains.split)
        rows = Rows(domains.functions.float(), None)
        pressure = self.pressure(backward, domains.pressure, domains.split)
        slopes = self.layout.spread(domains.slopes, backward.graph, self._usual(backward))
        return backward.lower(backward.graph.output, rows, slopes=slopes, pressure=pressure)[0]

    def improved(
        self, domains: Domains, *, steps: int, slope_step: float, pressure_step: float, decay: float = 0.97
    ) -> Domains:
        """Return the same subdomains with better slopes and multipliers; their bounds are left as they were."""
        backward = self.within(self.rough, domains.split)
        graph, output = backward.graph, backward.graph.output
        rows = Rows(domains.functions.float(), None)
        slopes = self.layout.spread(domains.slopes, graph, self._usual(backward))
        signs = self.layout.spread(domains.split.float(), graph)
        pressure = self.layout.spread(domains.pressure, graph)
        used = {number for number in self.layout.number if bool((signs[number] != 0).any())}
        leaves = [(number, slopes[number].requires_grad_(True), slope_step) for number in self.layout.number]
        leaves += [(number, pressure[number].requires_grad_(True), pressure_step) for number in used]
        moving = [leaf for _, leaf, _ in leaves]
        first = [torch.zeros_like(leaf) for leaf in moving]
        second = [torch.zeros_like(leaf) for leaf in moving]
        limits = {n: (backward.lines[n].least, backward.lines[n].most) for n in self.layout.number}
        count = len(self.layout.number)
        for turn in range(1, steps + 1):
            with torch.enable_grad():
                added = self.at_inputs(graph, {n: -pressure[n] * signs[n] for n in used})
                value, _ = backward.lower(output, rows, slopes=slopes, pressure=added)
                gradients = torch.autograd.grad(value.sum(), moving)
            size = decay ** (turn - 1)
            with torch.no_grad():
                for i, (number, leaf, length) in enumerate(leaves):
                    g = gradients[i]
                    first[i].mul_(0.9).add_(g, alpha=0.1)
                    second[i].mul_(0.999).addcmul_(g, g, value=0.001)
                    root = (second[i] / (1 - 0.999**turn)).sqrt_().add_(1e-8)
                    leaf.addcdiv_(first[i], root, value=length * size / (1 - 0.9**turn))
                    if i < count:
                        low, high = limits[number]
                        torch.maximum(leaf, low, out=leaf.data)
                        torch.minimum(leaf, high, out=leaf.data)
                    else:
                        leaf.clamp_(min=0)
        found = {number: leaf.detach() for number, leaf in slopes.items()}
        spent = {number: leaf.detach() for number, leaf in pressure.items()}
        return replace(domains, slopes=self.layout.pack(found), pressure=self.layout.pack(spent))

    def costs(self, domains: Domains) -> tuple[Tensor, Tensor]:
        """Return what each open rectifier costs the bound at its minimiser and at worst, both (N, U)."""
        backward = self.within(self.rough, domains.split)
        graph = backward.graph
        rows = Rows(domains.functions.float(), None)
        slopes = self.layout.spread(domains.slopes, graph, self._usual(backward))
        pressure = self.pressure(backward, domains.pressure, domains.split)
        pressure = {number: layer.requires_grad_(True) for number, layer in pressure.items()}
        seen: dict[int, Tensor] = {}
        with torch.enable_grad():
            value, _ = backward.lower(graph.output, rows, slopes=slopes, pressure=pressure, seen=seen)
            numbers = list(pressure)
            gradients = torch.autograd.grad(value.sum(), [pressure[n] for n in numbers])
        inputs = dict(zip(numbers, gradients, strict=True))
        here, worst = {}, {}
        for number in self.layout.number:
            lines, step, a = backward.lines[number], graph.nodes[number].step, seen[number].detach()
            assert isinstance(step, Rectifier)
            source = graph.nodes[number].inputs[0]
            low, high = (side.float() for side in self.found.intervals[source])
            z = torch.minimum(torch.maximum(inputs[source], low), high)
            value_there = step.value(z)
            below = value_there - slopes[number] * z
            above = lines.upper * z + lines.raised - value_there
            here[number] = a.clamp(min=0) * below + (-a).clamp(min=0) * above
            most = torch.minimum((step.slope - slopes[number]) * low, (1 - slopes[number]) * high)
            worst[number] = (-a).clamp(min=0) * lines.raised + a.clamp(min=0) * most
        is_open = (domains.split == 0).float()
        return self.layout.pack(here) * is_open, self.layout.pack(worst) * is_open

    def halves(self, domains: Domains, neuron: Tensor) -> Domains:
        """Return both halves of each subdomain by the sign of one rectifier each, (N,): first all of one sign."""
        number = torch.arange(len(domains))
        parts = []
        for sign in (1, -1):
            split, pressure = domains.split.clone(), domains.pressure.clone()
            split[number, neuron] = sign
            pressure[number, neuron] = 0.0
            parts.append(replace(domains, split=split, pressure=pressure))
        return Domains.joined(parts)

    def chosen(self, domains: Domains, candidates: int) -> Tensor:
        """Return for each subdomain the rectifier to split, (N,); -1 where none is open."""
        here, worst = self.costs(domains)
        is_open = domains.split == 0
        count = min(candidates, self.layout.width)
        picks = torch.cat([score.masked_fill(~is_open, -1.0).topk(count, dim=1).indices for score in (here, worst)], 1)
        n, tried = picks.shape
        repeated = domains.of(torch.arange(n).repeat_interleave(tried))
        value = self.rough_bounds(self.halves(repeated, picks.flatten())).view(2, n, tried)
        gain = (value.clamp(max=0.0) - domains.bound.float()[None, :, None]).clamp(min=1e-6)
        score = gain.amin(dim=0) * 0.8 + gain.amax(dim=0) * 0.2
        score = score.masked_fill(~is_open.gather(1, picks), -1.0)
        best = score.argmax(dim=1, keepdim=True)
        neuron = picks.gather(1, best).squeeze(1)
        return torch.where(is_open.any(dim=1), neuron, -1)

    def _usual(self, backward: Backward) -> dict[int, Tensor]:
        return {number: self.rough.lines[number].usual for number in self.layout.number}


def _decided(lines: Lines, sign: Tensor, slope: float) -> Lines:
    """Return lines of N subdomains: exact where a sign was decided."""
    on, off = sign > 0, sign < 0
    decided = on | off
    exact = torch.where(on, 1.0, slope).to(sign.dtype)
    sides = (torch.where(decided, exact, side) for side in (lines.least, lines.most, lines.usual, lines.upper))
    return Lines(*sides, torch.where(decided, 0.0, lines.raised).to(sign.dtype))
