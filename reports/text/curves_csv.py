"""Accuracy curves as CSV: one line per place of a curve, tidy."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from reports.board.board_types import Board
from reports.board.curves import BoardCurves, Family, board_curves, families
from reports.board.samples import Samples
from robench.record.measures.curves import Curve

COLUMNS = (
    "model", "fingerprint", "attack", "over", "x", "robust", "n", "robust_accuracy", "low", "high",
)  # fmt: skip
"""After the columns of the images and the threat model."""

MOST_PLACES = 200
"""Places of one curve that are written; more are thinned out evenly, and each that stays is exact."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CurveLine:
    """One line.

    Attributes:
        board: position of the board it is about, among those given.
        eps_text: in place of the board's own radius, for a curve over eps; None to keep it.
        values: those of `COLUMNS`.
    """

    board: int
    eps_text: str | None = None
    values: tuple[Any, ...]


def curve_lines(boards: Sequence[Board], samples: Sequence[Samples]) -> list[CurveLine]:
    """Return a line for every place of every curve of some boards."""
    lines: list[CurveLine] = []
    for at, (board, own) in enumerate(zip(boards, samples, strict=True)):
        lines += _board(board_curves(board, own), at)
    for family in families(boards, samples):
        lines += _family(family)
    return lines


def _board(curves: BoardCurves, at: int) -> Iterator[CurveLine]:
    for over, panels in (("points", curves.points), ("tries", curves.tries), ("passes", curves.passes)):
        for panel in panels:
            for line in panel.lines:
                for rest in _places(line.curve):
                    values = (line.model, line.fingerprint, panel.attack, over, *rest)
                    yield CurveLine(board=at, values=values)


def _family(family: Family) -> Iterator[CurveLine]:
    first = family.boards[0]
    for one in family.models:
        start = (one.model, one.fingerprint, "")
        for rest in _places(one.exact) if one.exact else ():
            yield CurveLine(board=first, eps_text="", values=(*start, "size", *rest))
        for mark in one.marks:
            for over, share in (("eps", mark.robust), ("certified", mark.certified)):
                if share is not None:
                    rest = (mark.eps, share.count, share.n, share.value, share.low, share.high)
                    yield CurveLine(board=first, eps_text=mark.eps_text, values=(*start, over, *rest))


def _places(curve: Curve) -> Iterator[tuple[Any, ...]]:
    """Yield the places of a curve, and repeat its last count at the end of what was measured."""
    thin = curve.thinned(MOST_PLACES)
    places = list(zip(thin.x, thin.robust, thin.band(), strict=True))
    if thin.x[-1] < thin.end < math.inf:
        places.append((thin.end, *places[-1][1:]))
    for x, robust, (low, high) in places:
        yield x, robust, thin.n, robust / thin.n, low, high
