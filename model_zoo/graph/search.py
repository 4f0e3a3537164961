"""Candidate neighbours from one matrix product (torch) or from faiss, with a proof of completeness.

`|x - y|^2 = |x|^2 + |y|^2 - 2 x.y` is fast but cancels in floating point. So a searcher returns a few
candidates too many, and a lower bound of the distance to the other points; `neighbours.py` measures the
candidates exactly and repeats the rare rows for which the bound is too weak in double precision (`careful`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from robench.errors import InputError
from robench.types import Features, NearestDistances, NearestPoints, PerPair, PerRow, Points, RowNumbers

PRODUCT_ELEMENTS = 2**25  # of one block of the distance matrix: 128 MiB in float32
_GROUP = 32  # values of a row whose minimum is taken before any is selected


class Shortlist(NamedTuple):
    """Candidate neighbours `ids (R, k)` and `beyond2 (R,)`: no point left out is nearer (squared)."""

    ids: Tensor
    beyond2: Tensor


Searcher = Callable[[Tensor, int], Shortlist]


def torch_searcher(reference: Points) -> Searcher:
    """Return a searcher of rows in `reference (N, D)`: one product and the nearest of it, on its device.

    The first call must be the one with the most rows: its block of memory serves the others.
    """
    centre = reference.mean(0)
    points = reference - centre  # a shared offset would only add cancellation
    norms2 = points.square().sum(1)
    columns = -(-len(points) // _GROUP) * _GROUP
    blocks: list[Tensor] = []

    def find(rows: Tensor, k: int) -> Shortlist:
        rows = rows - centre
        if not blocks or len(blocks[0]) < len(
            rows
        ):  # fresh memory for each block costs more than the product
            blocks[:] = [points.new_full((len(rows), columns), torch.inf)]
        partial = blocks[0][: len(rows)]
        torch.addmm(norms2, rows, points.T, alpha=-2, out=partial[:, : len(points)])  # all but |row|^2
        nearest2, ids = smallest(partial, k)
        own2 = rows.square().sum(1)
        slack = _roundoff(reference) * (own2 + norms2.max())
        return Shortlist(ids, nearest2.amax(1) + own2 - slack)

    return find


def smallest(values: PerPair, k: int) -> tuple[NearestDistances, NearestPoints]:
    """Return the k smallest of every row of `values (R, M)`, in no order, and their columns `(R, k)`.

    With many columns the minima of groups are taken first: the k smallest values lie in the k groups whose
    minima are smallest, as every value of another group has k values before it. The values are read once
    instead of a selection among all of them.
    """
    groups = values.shape[1] // _GROUP
    if values.shape[1] % _GROUP or groups <= 2 * k:
        return values.topk(k, dim=1, largest=False, sorted=False)
    minima = values.view(-1, _GROUP, groups).amin(1)  # group g holds the columns g, g + groups, ...
    group = minima.topk(k, dim=1, largest=False, sorted=False).indices
    places = torch.arange(_GROUP, device=values.device) * groups
    column = (group[:, :, None] + places).flatten(1)
    nearest = values.gather(1, column).topk(k, dim=1, largest=False, sorted=False)
    return nearest.values, column.gather(1, nearest.indices)


def faiss_searcher(reference: Points) -> Searcher:
    """Return a searcher of rows in `reference (N, D)` through a faiss flat index, on its GPU where it can."""
    import faiss

    data = reference.float()
    if not bool(torch.isfinite(data).all()):  # faiss answers NaN with neighbour -1, silently
        raise InputError(
            expected="features that are finite in float32, the only precision faiss has",
            got="NaN, infinite, or too large features",
            do='Use search="torch"',
        )
    index: faiss.Index = faiss.IndexFlatL2(data.shape[1])
    on_gpu = data.is_cuda and faiss.get_num_gpus() > 0
    if on_gpu:
        import faiss.contrib.torch_utils  # lets the index read CUDA tensors in place

        index = faiss.index_cpu_to_gpu(faiss.StandardGpuResources(), data.device.index or 0, index)
    index.add(data.contiguous() if on_gpu else data.cpu().numpy())
    largest = data.square().sum(1).max().to(reference.dtype)

    def find(rows: Tensor, k: int) -> Shortlist:
        if rows.shape[1] != index.d:
            raise InputError(expected=f"features of dimension {index.d}", got=f"dimension {rows.shape[1]}")
        queries = rows.float().contiguous()
        answer = index.search(queries if on_gpu else queries.cpu().numpy(), k)
        distance2, ids = (torch.as_tensor(part).to(rows.device) for part in answer)
        slack = _roundoff(data) * (rows.square().sum(1) + largest)
        return Shortlist(ids, distance2.amax(1).to(rows.dtype) - slack)

    return find


def careful(rows: Features, reference: Points, k: int) -> NearestPoints:
    """Return the k nearest `(R, k)` in double precision; among equals, the lowest index."""
    centre = reference.double().mean(0)
    points, rows = reference.double() - centre, rows.double() - centre
    norms2, own2 = points.square().sum(1), rows.square().sum(1, keepdim=True)
    distance2 = torch.addmm(norms2, rows, points.T, alpha=-2) + own2
    last = distance2.kthvalue(k, dim=1, keepdim=True).values
    ties = (distance2 - last).abs() <= _roundoff(points) * (own2 + norms2.max())
    return torch.where(ties, last, distance2).sort(dim=1, stable=True).indices[:, :k]


def _roundoff(features: Tensor) -> float:
    """Return a bound on the rounding error of the product form, relative to `|x|^2 + max |y|^2`."""
    unit = torch.finfo(features.dtype).eps
    if features.dtype == torch.float32:  # a caller may have allowed TF32 or bfloat16 products
        unit = {"highest": unit, "high": 2.0**-10}.get(torch.get_float32_matmul_precision(), 2.0**-7)
    return (features.shape[1] + 8) * unit


def within(rows: Features, reference: Points, radius2: PerRow) -> tuple[RowNumbers, RowNumbers]:
    """Return pairs (row, reference point) that hold all within `radius2 (N,)` of each reference point.

    A few pairs beyond the radius, by rounding of the product form, may be among them.
    """
    centre = reference.mean(0)
    points = reference - centre
    norms2 = points.square().sum(1)
    step = max(1, PRODUCT_ELEMENTS // len(reference))
    pairs = []
    for start in range(0, len(rows), step):
        block = rows[start : start + step] - centre
        own2 = block.square().sum(1, keepdim=True)
        slack = _roundoff(reference) * (own2 + norms2.max())
        partial = torch.addmm(norms2 - radius2, block, points.T, alpha=-2)
        q, t = (partial <= slack - own2).nonzero(as_tuple=True)
        pairs.append((q + start, t))
    empty = torch.empty(0, dtype=torch.int64, device=rows.device)
    return torch.cat([empty, *(q for q, _ in pairs)]), torch.cat([empty, *(t for _, t in pairs)])
