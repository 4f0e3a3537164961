"""Descent by integer programming: in a small box around a point few rectifiers can switch; HiGHS is exact.

Gradient descent stops where rectifiers switch; a mixed-integer programme over the few that can switch nearby
(Tjeng et al. 2019, arXiv:1711.07356, on a small part of the region) goes on. The box follows the best
point and grows or shrinks with the number of rectifiers in it. Under Linf only, where regions are boxes.
"""

from __future__ import annotations

import ctypes
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import coo_matrix
from torch import Tensor

from robench.bounds.backward import Backward
from robench.bounds.branching import Layer, layers_of
from robench.bounds.graph import Graph
from robench.bounds.network import Bounded, Effort, bounded
from robench.bounds.rectifier import Passing
from robench.bounds.region import Region
from robench.bounds.rows import Rows
from robench.types import Coefficients, LayerValues, PerRow, SplitValues, Values

MOST = 40
"""Rectifiers that may switch inside a box; with more it shrinks."""

_LEAST_RADIUS = 1e-3
"""Relative to the region's radius: where a box that small holds too many rectifiers, the descent ends."""


@dataclass(frozen=True, slots=True, eq=False)
class _Recording:
    """Propagates functions through rectifiers with a fixed sign, and records the others' coefficients.

    Attributes:
        layer: with the places of rectifiers of unsure sign.
        noted: the coefficients (N, U) of all of them.
    """

    layer: Layer
    noted: Tensor

    def through(self, rows: Rows, slopes: Coefficients | None) -> tuple[Rows, PerRow]:
        """See `Lines.through`; exact, as functions of the pixels and of the outputs noted down."""
        del slopes
        self.noted[:, self.layer.part] = rows.a.flatten(1)[:, self.layer.lines.place]
        return rows.having(rows.a * self.layer.lines.base), rows.a.new_zeros(len(rows))


def pieces(
    found: Bounded, layers: list[Layer], start: int, rows: Rows
) -> tuple[Coefficients, SplitValues, PerRow]:
    """Return functions of a node as affine functions of the pixels and of unsure rectifiers' outputs.

    Args:
        found: bounds over the region of one image.
        layers: its rectifiers of unsure sign, U together.
        start: the number of the node.
        rows: N functions of it.

    Returns:
        Coefficients of the pixels (N, D) and of the rectifiers (N, U), and constants (N,).
    """
    costs = rows.a.new_zeros(len(rows), layers[-1].part.stop if layers else 0)
    lines: dict[int, Passing] = dict(found.lines)
    lines.update({layer.number: _Recording(layer, costs) for layer in layers})
    least, at = Backward(found.exact, lines, found.region).lower(start, rows)
    return at.a.flatten(1), costs, least - found.region.least(at)


def solved(found: Bounded, function: Float[Tensor, " K"], seconds: float) -> Values | None:
    """Return a point near the minimum of a function (K,) of the outputs in one image's region, or None."""
    layers = layers_of(found)
    pixels = found.region.x[0].numel()
    count = layers[-1].part.stop if layers else 0
    low, high = np.zeros(pixels + 2 * count), np.ones(pixels + 2 * count)
    low[:pixels], high[:pixels] = (side.flatten().numpy() for side in (found.region.low, found.region.high))
    cost = np.zeros(pixels + 2 * count)
    a, costs, _ = pieces(found, layers, found.exact.output, Rows(function[None], None))
    cost[:pixels], cost[pixels : pixels + count] = a[0].numpy(), costs[0].numpy()
    blocks, least, most = [], [], []
    for layer in layers:
        source, size = found.exact.nodes[layer.number].inputs[0], len(layer.lines.place)
        shape = found.exact.nodes[source].shape
        one = torch.zeros(size, *shape, dtype=torch.float64)
        one.view(size, -1)[torch.arange(size), layer.lines.place] = 1.0
        a, costs, constant = pieces(found, layers, source, Rows(one, torch.zeros(size, dtype=torch.long)))
        z_low, z_high = (end[0].numpy() for end in layer.ends)
        own, s = np.eye(count)[layer.part], layer.slope
        input_of, output_of = a.numpy(), costs.numpy()
        offset = constant.numpy()
        high[pixels : pixels + count][layer.part] = z_high
        low[pixels : pixels + count][layer.part] = s * z_low
        # r >= z, r >= s z, r <= z - (1 - s) l (1 - d), r <= s z + (1 - s) u d
        blocks += [
            np.hstack([-input_of, own - output_of, np.zeros_like(own)]),
            np.hstack([-s * input_of, own - s * output_of, np.zeros_like(own)]),
            np.hstack([-input_of, own - output_of, -(1 - s) * z_low[:, None] * own]),
            np.hstack([-s * input_of, own - s * output_of, -(1 - s) * z_high[:, None] * own]),
        ]
        least += [offset, s * offset, np.full(size, -np.inf), np.full(size, -np.inf)]
        most += [np.full(size, np.inf), np.full(size, np.inf), offset - (1 - s) * z_low, s * offset]
    constraints: LinearConstraint | tuple[()] = ()
    if blocks:
        table = coo_matrix(np.vstack(blocks)).tocsr()
        constraints = LinearConstraint(table, np.concatenate(least), np.concatenate(most))
    integral = np.concatenate([np.zeros(pixels + count), np.ones(count)])
    with _quiet():
        solution = milp(
            cost,
            integrality=integral,
            bounds=Bounds(low, high),
            constraints=constraints,
            options={"time_limit": max(seconds, 0.1), "mip_rel_gap": 1e-3},
        )
    if solution.x is None:
        return None
    return torch.from_numpy(solution.x[:pixels]).view(1, *found.region.x.shape[1:])


@contextmanager
def _quiet() -> Iterator[None]:
    """Hide the output that HiGHS writes to the standard streams in spite of its settings."""
    flush = ctypes.CDLL(None).fflush  # C has its own output buffer
    sys.stdout.flush()
    sys.stderr.flush()
    flush(None)
    copies = {stream: os.dup(stream) for stream in (1, 2)}
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        for stream in copies:
            os.dup2(nowhere, stream)
        yield
    finally:
        flush(None)
        for stream, copy in copies.items():
            os.dup2(copy, stream)
            os.close(copy)
        os.close(nowhere)


@torch.no_grad()
def descended(
    graph: Graph,
    rough: Graph,
    region: Region,
    start: LayerValues,
    function: Float[Tensor, " K"],
    until: float,
) -> LayerValues:
    """Return a point (1, ...) where a function (K,) of the outputs is at most its value at the start.

    Args:
        graph: the network in float64.
        rough: in float32.
        region: of one image, under Linf.
        start: (1, ...) a point of it.
        function: of the outputs.
        until: when to stop, on the clock of `time.perf_counter`; it also stops below zero.
    """
    best = torch.minimum(torch.maximum(start.double(), region.low), region.high)
    value, radius = float(graph(best)[0] @ function), region.radius / 8
    while value >= 0 and time.perf_counter() < until and radius > _LEAST_RADIUS * region.radius:
        low, high = torch.maximum(best - radius, region.low), torch.minimum(best + radius, region.high)
        bounds = bounded(graph, rough, replace(region, x=best, low=low, high=high), Effort())
        layers = layers_of(bounds)
        count = layers[-1].part.stop if layers else 0
        if count > MOST:
            radius *= 0.7
            continue
        point = solved(bounds, function, min(5.0, until - time.perf_counter()))
        if point is None:
            radius *= 0.7
            continue
        point = torch.minimum(torch.maximum(point, region.low), region.high)
        there = float(graph(point)[0] @ function)
        if there < value - 1e-6:
            best, value = point, there
        elif radius < region.radius and count < MOST // 2:
            radius *= 1.5
        else:
            break
    return best
