"""Error against depth: how the error of a family of networks depends on its depth."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from reports.board.board_types import Board
from reports.board.depth import Point, Series, details_of, series_of
from reports.board.shares import Share
from reports.figures.palette import HOLLOW
from reports.figures.selection import choose
from reports.figures.style import COLOURS, MARKERS, NARROW, check_suffix, save, shown, styled
from robench.errors import ConfigError
from robench.recipe import Info
from robench.record.schema import Record

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_LINES = ("-", "--", ":", "-.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Depth:
    """Clean, worst-case and certified error of every model against its depth, with 95 % intervals.

    A line joins the models of one family, head and training, through the median where several have one depth.
    The colour shows the head; a hollow mark is a row in doubt. If there are bounds, a dotted line shows the
    images that are not certified: the true error lies between this line and the error under attack. Without
    attacks only the clean error is shown.
    """

    info: ClassVar[Info] = Info(
        title="Error against depth", paper="Wang & Osher 2019, arXiv:1907.06800, Fig. 3"
    )

    def __call__(self, records: Sequence[Record], path: Path, *, board: str | None = None) -> Path:
        """Draw the board with that text in its title and write it to `path`; see `selection.choose`."""
        check_suffix(path)
        selection, _ = choose(records, board)
        save(self.draw(selection, series_of(selection, details_of(records))), path)
        return path

    def draw(self, board: Board, series: Sequence[Series], *, narrow: bool = False) -> Figure:
        """Return the figure of one board; see `depth.series_of`.

        Args:
            board: the board.
            series: of its rows.
            narrow: with its two parts one below the other, for the width of a phone.

        Raises:
            ConfigError: the board has no series, or its radius is infinite.
        """
        from matplotlib.figure import Figure

        has_threat = bool(board.norm)
        if not series or (has_threat and board.eps == float("inf")):
            raise ConfigError(
                where=board.title,
                expected="two depths of a family with the same head and training, under a finite eps or none",
                got="none" if not series else "eps inf",
                do="Evaluate for example vgg11 and vgg16 in one run",
            )
        heads = sorted({one.head for one in series})
        kinds = sorted({(one.family, one.training) for one in series})
        size = (NARROW, 5.2 + 0.18 * len(series)) if narrow else (7.2, 3.4 + 0.18 * len(series))
        with styled():
            figure = Figure(figsize=size, layout="constrained")
            panels = (2, 1) if narrow else (1, 2)
            left, *others = figure.subplots(*panels).flat if has_threat else [figure.subplots()]
            for one in series:
                kind = kinds.index((one.family, one.training))
                style = (COLOURS[heads.index(one.head) % len(COLOURS)], _LINES[kind % len(_LINES)])
                marker = MARKERS[kind % len(MARKERS)]
                label = shown(one.family) + f", {shown(one.head or 'own head')}"
                label += f", {shown(one.training)}" if one.training not in {"", "none"} else ""
                _line(left, [(p, p.row.clean) for p in one.points], *style, marker, label)
                for right in others:
                    _line(right, [(p, p.row.worst_case) for p in one.points], *style, marker, "")
                    _line(right, [(p, p.row.certified) for p in one.points], style[0], ":", "^", "")
            depths = sorted({point.depth for one in series for point in one.points})
            for axes in (left, *others):
                axes.set_xticks(depths, _ticks(depths))
                axes.set_xlabel("depth")
            left.set_title("Clean error, %")
            for right in others:
                right.set_title(f"{_right_side(board)}, {shown(board.norm)} {shown(board.eps_text)}, %")
            figure.legend(loc="outside lower left", frameon=False, ncols=1 if narrow else 2, fontsize=7)
        return figure


def _right_side(board: Board) -> str:
    """Return what the errors under the threat are of."""
    has_attack = any(row.worst_case for row in board.rows)
    has_bound = any(row.certified for row in board.rows)
    if has_attack and has_bound:
        return "Robust error, dotted: not certified"
    return "Robust error, worst case" if has_attack else "Not certified"


def _ticks(depths: Sequence[int]) -> list[str]:
    """Return the labels of ascending depths; one too close to the label before it is left out."""
    apart = 0.05 * (depths[-1] - depths[0])
    labels, last = [], -math.inf
    for depth in depths:
        clear = depth - last >= apart
        labels.append(str(depth) if clear else "")
        last = depth if clear else last
    return labels


def _line(
    axes: Axes,
    points: Sequence[tuple[Point, Share | None]],
    colour: str,
    line: str,
    marker: str,
    label: str,
) -> None:
    """Draw the errors of one series: a mark with its interval for each model, a line through the medians."""
    errors: dict[int, list[float]] = {}
    for point, share in points:
        if share is None or not share.n:
            continue
        error = 100 * (1 - (share.value or 0.0))
        errors.setdefault(point.depth, []).append(error)
        low, high = 100 * (1 - share.high), 100 * (1 - share.low)
        axes.errorbar(
            point.depth,
            error,
            yerr=[[max(0.0, error - low)], [max(0.0, high - error)]],
            fmt=marker,
            color=colour,
            markerfacecolor=HOLLOW if point.row.doubted else colour,
            markersize=5,
            elinewidth=0.8,
            capsize=2,
            zorder=3,
        )
    if not errors:
        return
    medians = [statistics.median(errors[depth]) for depth in sorted(errors)]
    axes.plot(sorted(errors), medians, line, color=colour, linewidth=1.4)
    if label:
        axes.plot([], [], line, color=colour, linewidth=1.4, marker=marker, markersize=5, label=label)
