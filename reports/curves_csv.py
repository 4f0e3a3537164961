"""Accuracy curves as CSV: one line per place of a curve, tidy."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

from reports.boards import Board, Share
from reports.curves import BoardCurves, Family, Panel, board_curves, families
from reports.samples import Samples
from robench.curves import Curve

COLUMNS = (
    "dataset", "split", "digest", "images", "norm", "eps", "eps_text", "goal",
    "model", "fingerprint", "attack", "over", "x", "robust", "n", "robust_accuracy", "low", "high",
)  # fmt: skip
MOST_PLACES = 200
"""Places of one curve that are written; more are thinned out evenly, and each that stays is exact."""

Line = list[Any]


def curve_lines(boards: Sequence[Board], samples: Sequence[Samples]) -> list[Line]:
    """Return the lines of `COLUMNS` for every curve of some boards; empty cells are None."""
    made: list[Line] = []
    for board, own in zip(boards, samples, strict=True):
        made += _board(board_curves(board, own))
    for family in families(boards, samples):
        made += _family(boards[family.boards[0]], family)
    return made


def _board(curves: BoardCurves) -> Iterator[Line]:
    board = curves.board
    start = [
        board.dataset,
        board.split,
        board.digest,
        board.n,
        board.norm,
        board.eps,
        board.eps_text,
        board.goal,
    ]
    for over, panels in (("points", curves.points), ("tries", curves.tries), ("passes", curves.passes)):
        for panel in panels:
            yield from _panel(start, over, panel)


def _panel(start: Line, over: str, panel: Panel) -> Iterator[Line]:
    for line in panel.lines:
        for rest in _places(line.curve):
            yield [*start, line.model, line.fingerprint, panel.attack, over, *rest]


def _family(first: Board, family: Family) -> Iterator[Line]:
    start = [first.dataset, first.split, first.digest, first.n, first.norm, None, "", first.goal]
    for one in family.models:
        if one.exact:
            for rest in _places(one.exact):
                yield [*start, one.model, one.fingerprint, "", "size", *rest]
        for mark in one.marks:
            rest = _share(mark.eps, mark.robust)
            yield [*start[:6], mark.eps_text, first.goal, one.model, one.fingerprint, "", "eps", *rest]


def _places(curve: Curve) -> Iterator[Line]:
    """Yield the places of a curve, and once more its last count where the looking ended."""
    thin = curve.thinned(MOST_PLACES)
    places = list(zip(thin.x, thin.robust, strict=True))
    if thin.x[-1] < thin.end < math.inf:
        places.append((thin.end, thin.robust[-1]))
    for x, robust in places:
        yield _share(x, Share(robust, thin.n))


def _share(x: float, share: Share) -> Line:
    return [x, share.count, share.n, share.value, share.low, share.high]
