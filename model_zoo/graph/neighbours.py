"""The m nearest neighbours of points, exactly, on the device of the points."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from model_zoo.graph.search import PRODUCT_ELEMENTS, Searcher, careful, faiss_searcher, torch_searcher
from robench.errors import InputError
from robench.types import Features, NearestDistances, NearestPoints, Points

# Candidates beyond m: enough that rounding in the fast search almost never decides who is a neighbour.
_SPARE = 6
_DIFFERENCE_ELEMENTS = 2**22  # of one block of coordinate differences: about the size of a CPU cache


class Neighbours(NamedTuple):
    """Neighbours, nearest first.

    Attributes:
        ids: `(R, m)` int64, rows of the reference set.
        distance2: `(R, m)` squared Euclidean distances, computed from coordinate differences.
    """

    ids: Tensor
    distance2: Tensor


@torch.no_grad()
def nearest_neighbours(features: Points, m: int, *, search: str = "auto") -> Neighbours:
    """Return the m nearest neighbours of every row of `features (N, D)` among all rows.

    A row is always its own first neighbour, at distance exactly 0, also where it has duplicates. Rows at the
    same distance are ordered by index.
    """
    return _nearest(features, features, m, search, own=True)


@torch.no_grad()
def neighbours_in(queries: Features, reference: Points, m: int, *, search: str = "auto") -> Neighbours:
    """Return the m nearest rows of `reference (N, D)` of every row of `queries (R, D)`."""
    return _nearest(queries, reference, m, search, own=False)


def working_precision(features: Points) -> Points:
    """Return half-precision features as float32; distances and weights need that much. Others stay."""
    return features.float() if features.dtype in (torch.float16, torch.bfloat16) else features


@torch.no_grad()
def squared_distances(rows: Features, reference: Points, index: NearestPoints) -> NearestDistances:
    """Return `|rows_i - reference_index[i, k]|^2` as `(R, k)`, from differences, in bounded memory."""
    width, k = rows.shape[1], index.shape[1]
    step = max(1, _DIFFERENCE_ELEMENTS // max(1, width * k))
    parts = []
    for start in range(0, len(rows), step):
        neighbours = reference.index_select(0, index[start : start + step].flatten()).view(-1, k, width)
        parts.append(neighbours.sub_(rows[start : start + step, None]).square_().sum(-1))
    return torch.cat(parts) if parts else rows.new_zeros(0, k)


def _nearest(queries: Tensor, reference: Tensor, m: int, search: str, *, own: bool) -> Neighbours:
    """Search block by block; repeat in double precision the rows whose result rounding could have changed."""
    _check(queries, reference, m)
    queries, reference = working_precision(queries.detach()), working_precision(reference.detach())
    with torch.autocast(queries.device.type, enabled=False):
        find = _searcher(reference, search)
        k = min(m + _SPARE, len(reference))
        step = max(1, PRODUCT_ELEMENTS // len(reference))
        blocks = []
        for start in range(0, len(queries), step):
            rows = queries[start : start + step]
            ids = torch.arange(start, start + len(rows), device=rows.device) if own else None
            shortlist, beyond2 = find(rows, k)
            block = _closest(rows, reference, shortlist, ids, m)
            doubtful = ~(block.distance2[:, -1] < beyond2) & (k < len(reference))  # NaN is doubtful too
            if bool(doubtful.any()):
                _repair(block, doubtful.nonzero()[:, 0], rows, reference, ids)
            blocks.append(block)
    if not blocks:
        return Neighbours(
            torch.empty(0, m, dtype=torch.int64, device=queries.device), queries.new_zeros(0, m)
        )
    return Neighbours(torch.cat([b.ids for b in blocks]), torch.cat([b.distance2 for b in blocks]))


def _closest(rows: Tensor, reference: Tensor, index: Tensor, own: Tensor | None, m: int) -> Neighbours:
    """Measure the candidates exactly; keep the m first by (self, distance, index)."""
    index = index.sort(dim=1).values
    distance2 = squared_distances(rows, reference, index)
    if (
        own is not None
    ):  # the row itself in front, where the stable sort leaves it; its other entry at the end
        distance2.masked_fill_(index == own[:, None], torch.inf)
        index = torch.cat([own[:, None], index], dim=1)
        distance2 = torch.cat([distance2.new_zeros(len(rows), 1), distance2], dim=1)
    order = distance2.sort(dim=1, stable=True)
    return Neighbours(index.gather(1, order.indices[:, :m]), order.values[:, :m])


def _repair(block: Neighbours, doubtful: Tensor, rows: Tensor, reference: Tensor, own: Tensor | None) -> None:
    """Search the `doubtful` of `rows` again in double precision, and write them into `found`."""
    m = block.ids.shape[1]
    step = max(1, PRODUCT_ELEMENTS // (8 * len(reference)))
    for start in range(0, len(doubtful), step):
        again = doubtful[start : start + step]
        shortlist = careful(rows[again], reference, m)
        ids = None if own is None else own[again]
        block.ids[again], block.distance2[again] = _closest(rows[again], reference, shortlist, ids, m)


def _searcher(reference: Tensor, search: str) -> Searcher:
    """Return the candidate search of that name."""
    if search in ("auto", "torch"):
        return torch_searcher(reference)
    if search == "faiss":
        return faiss_searcher(reference)
    raise InputError(expected="a search: auto, torch or faiss", got=repr(search))


def _check(queries: Tensor, reference: Tensor, m: int) -> None:
    """Refuse shapes, counts and values for which neighbours are not defined."""
    if queries.ndim != 2 or reference.ndim != 2 or queries.shape[1] != reference.shape[1]:
        raise InputError(
            expected="features (N, D) and (R, D) of one dimension D",
            got=f"{tuple(reference.shape)} and {tuple(queries.shape)}",
        )
    if not 1 <= m <= len(reference):
        raise InputError(
            expected=f"m between 1 and the {len(reference)} points there are",
            got=f"m = {m}",
            do="Lower m or add points",
        )
    if not all(bool(torch.isfinite(part).all()) for part in (queries, reference)):
        raise InputError(
            expected="finite features",
            got="NaN or infinite features",
            do="Check the network and its input",
        )
