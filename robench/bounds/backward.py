"""CROWN: propagates a linear function of a node's values back to the images (Zhang et al., arXiv:1811.00866).

A rectifier with a positive coefficient is replaced by its lower line, with a negative one by its upper line;
at the images the minimum over the region is known. Split constraints enter as multipliers (beta-CROWN: Wang
et al. 2021, arXiv:2103.06624, section 3.1).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from robench.bounds.graph import Graph
from robench.bounds.operations import Dense
from robench.bounds.rectifier import Lines, Passing, Rectifier
from robench.bounds.region import Region
from robench.bounds.rounding import gamma
from robench.bounds.rows import Rows
from robench.types import IntPerRow, PerRow

Slopes = dict[int, Tensor]
"""By number of a rectifier the slopes of its lower lines, in the shape of the coefficients there."""


@dataclass(frozen=True, slots=True, eq=False)
class Backward:
    """Bounds linear functions of the nodes of a network over a region.

    Attributes:
        graph: the network.
        lines: of every rectifier on the way, by its number.
        region: around the B images.
        magnitudes: by number of a node, for each image the largest absolute sum in the node, (B,), to
            subtract rounding errors from the bounds. None in float32, where bounds only guide a search.
    """

    graph: Graph
    lines: Mapping[int, Passing]
    region: Region
    magnitudes: Mapping[int, Tensor] | None = None

    def lower(
        self,
        start: int,
        rows: Rows,
        *,
        slopes: Slopes | None = None,
        fill: bool = False,
        seen: dict[int, Tensor] | None = None,
    ) -> tuple[PerRow, Rows]:
        """Return lower bounds (N,) of functions of a node, and the resulting functions of the images.

        Args:
            start: the number of the node.
            rows: N functions of its values.
            slopes: of the lower lines; the default slopes for missing entries.
            fill: put the default slopes into `slopes` for missing entries.
            seen: gets the coefficients of every rectifier's outputs, by its number.
        """
        total = rows.a.new_zeros(len(rows))
        margin = torch.zeros_like(total)
        waiting = {start: rows}
        for number in range(start, 0, -1):
            here = waiting.pop(number, None)
            if here is None:
                continue
            node = self.graph.nodes[number]
            shapes = [self.graph.nodes[i].shape for i in node.inputs]
            offset: Tensor | None
            if isinstance(node.step, Rectifier):
                lines = self.lines[number]
                if fill and slopes is not None and number not in slopes and isinstance(lines, Lines):
                    slopes[number] = here.take(lines.usual).clone()
                if seen is not None:
                    seen[number] = here.a
                back, offset = lines.through(here, None if slopes is None else slopes.get(number))
                parts, terms = [back], here.a[0].numel() if len(here) else 0
            else:
                step = node.affine
                parts, offset = step.back(here, shapes, node.shape)
                terms = step.terms(shapes, node.shape)
            if offset is not None:
                total = total + offset
            if self.magnitudes is not None:
                factor = gamma(terms + 2 * len(self.graph.nodes))
                margin = margin + factor * here.mass() * here.share(self.magnitudes[number])
            for source, part, shape in zip(node.inputs, parts, shapes, strict=True):
                before = waiting.get(source)
                waiting[source] = part if before is None else before.plus(part, shape)
        at = waiting[0]
        least = total + self.region.least(at)
        if self.magnitudes is not None:
            least = least - margin - self.region.margin(at)
            # If numbers overflow, nothing is known.
            least = torch.where(least.isnan(), -torch.inf, least)
        return least, at

    def neurons(
        self, node: int, owner: IntPerRow, place: IntPerRow, sign: IntPerRow
    ) -> tuple[int, Rows, PerRow]:
        """Return functions that are single values of a node, with a sign, and the node to start from.

        Args:
            node: its number.
            owner: (N,) the image each belongs to.
            place: (N,) index of the value in the flattened node.
            sign: (N,) 1 or -1.

        Returns:
            The number of the node to start from, the functions of it, and their constants (N,).
        """
        shape, step = self.graph.nodes[node].shape, self.graph.nodes[node].step
        sign = sign.to(self.region.x.dtype)
        if isinstance(step, Dense) and len(shape) == 1:
            weights = sign[:, None] * step.weight[place]
            return self.graph.nodes[node].inputs[0], Rows(weights, owner), sign * step.bias[place]
        if len(shape) == 3:
            area = shape[1] * shape[2]
            a = sign.new_zeros(len(place), shape[0], 1, 1)
            a[torch.arange(len(place), device=a.device), place // area, 0, 0] = sign
            corner = torch.stack([place % area // shape[2], place % shape[2]], dim=1)
            return node, Rows(a, owner, corner), torch.zeros_like(sign)
        a = sign.new_zeros(len(place), *shape)
        a.view(len(place), -1)[torch.arange(len(place), device=a.device), place] = sign
        return node, Rows(a, owner), torch.zeros_like(sign)
