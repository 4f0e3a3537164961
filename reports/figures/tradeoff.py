"""Clean against robust accuracy: what a defense gains, and what it costs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from reports.board.board_types import Board, Row
from reports.figures.labels import FOLDED, folded, heights, uncrossed
from reports.figures.lines import remark
from reports.figures.palette import GREY, HOLLOW, Look, look_of
from reports.figures.selection import draw_to
from reports.figures.style import INK, LONGEST, MARKERS, NARROW, SOFT, blank, shown, styled
from robench.errors import ConfigError
from robench.recipe import Info
from robench.record.schema import Record

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_NAMED = 24
"""Models with an interval and a name; more names cannot be read, and take long to place."""

BESIDE, NEAR = 1.03, 1.022
"""Where the names begin, and where the lines to them end, in widths of the axes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tradeoff:
    """One point per model: clean accuracy to the right, worst-case robust accuracy up, with 95 % intervals.

    The names stand beside the plot near their points, each joined to its own by a line; none covers another,
    and no two lines cross. The marker shows the head; it is hollow where the row is in doubt. Of more models
    than `MOST_NAMED` the first of the board are named, and the others are grey points without an interval;
    the figure says how many.
    """

    info: ClassVar[Info] = Info(
        title="Clean against robust accuracy", paper="Tsipras et al. 2019, arXiv:1805.12152"
    )

    def __call__(self, records: Sequence[Record], path: Path, *, board: str | None = None) -> Path:
        """Draw the board with that text in its title and write it to `path`; see `selection.draw_to`."""
        return draw_to(self.draw, records, path, board=board)

    def draw(self, board: Board, look: Look | None = None) -> Figure:
        """Return the figure of one board.

        Args:
            board: the board.
            look: of its models; by default the first ones have a colour each.

        Raises:
            ConfigError: no model of the board has both accuracies, or its radius is infinite.
        """
        rows = [
            row for row in board.rows if row.clean and row.worst_case and row.clean.n and row.worst_case.n
        ]
        if not rows or board.eps == float("inf"):
            raise ConfigError(
                where=board.title,
                expected="a board with clean and robust accuracies under a finite eps",
                got="none" if not rows else "eps inf",
            )
        look = look or look_of([row.model for row in board.rows])
        look = look.of(row.model for row in rows if row.doubted)
        rows, others = rows[:MOST_NAMED], rows[MOST_NAMED:]
        heads = sorted({row.head for row in rows})
        with styled():
            height = max(3.4, 0.24 * len(rows) + 1.2)
            figure, axes = blank(NARROW if look.narrow else 7.2, height)
            if others:
                x, y = zip(*map(_share, others), strict=True)
                axes.plot(x, y, linestyle="", marker=".", markersize=4, color=GREY)
                remark(figure, "" if look.narrow else others_in_words(len(others)))
            for row in reversed(rows):  # the first lie on top
                _point(axes, row, look, MARKERS[heads.index(row.head) % len(MARKERS)])
            _names(axes, rows, look, 0.21 / (height - 1.1))
            axes.set_xlabel("clean accuracy, %")
            axes.set_ylabel(f"robust accuracy, {board.norm} {board.eps_text}, %")
            if not look.narrow:
                title = [f"{board.dataset}, {board.n} images", ", ".join(board.conditions)]
                axes.set_title("\n".join(title).strip())
            if handles := _legend(heads if len(heads) > 1 else [], hollow=bool(look.doubted)):
                columns = min(len(handles), 2 if look.narrow else 4)
                figure.legend(handles=handles, loc="outside upper left", ncols=columns, frameon=False)
        return figure


def others_in_words(count: int) -> str:
    """Return the remark on models without a name in the figure; empty if all have one."""
    start = f"The first {MOST_NAMED} models of the board have names"
    return f"{start}; the other {count} are grey points without their intervals." if count > 0 else ""


def _share(row: Row) -> tuple[float, float]:
    assert row.clean and row.worst_case  # noqa: PT018 - draw kept only such rows
    return 100 * (row.clean.value or 0.0), 100 * (row.worst_case.value or 0.0)


def _point(axes: Axes, row: Row, look: Look, marker: str) -> None:
    assert row.clean and row.worst_case  # noqa: PT018 - draw kept only such rows
    x, y = _share(row)
    axes.errorbar(
        x,
        y,
        xerr=[[x - 100 * row.clean.low], [100 * row.clean.high - x]],
        yerr=[[y - 100 * row.worst_case.low], [100 * row.worst_case.high - y]],
        fmt=marker,
        color=look.colour(row.model),
        markerfacecolor=look.face(row.model),
        markersize=6,
        elinewidth=0.8,
    )


def _names(axes: Axes, rows: Sequence[Row], look: Look, gap: float) -> None:
    """Write the names to the right, near their points, each joined to its own by a line."""
    (left, right), (low, high) = axes.get_xlim(), axes.get_ylim()
    axes.set(xlim=(left, right), ylim=(low, high))
    names = [folded(shown(row.model), FOLDED if look.narrow else LONGEST) for row in rows]
    points = [((x - left) / (right - left), (y - low) / (high - low)) for x, y in map(_share, rows)]
    lines = max(name.count("\n") + 1 for name in names)
    order = sorted(range(len(rows)), key=lambda at: (points[at][1], points[at][0]))
    places = heights([points[at][1] for at in order], gap * lines)
    assignment = uncrossed([points[at] for at in order], [(NEAR, height) for height in places])
    for at, place in zip(order, assignment, strict=True):
        colour, height = look.colour(rows[at].model), places[place]
        axes.text(
            BESIDE,
            height,
            names[at],
            transform=axes.transAxes,
            va="center",
            color=colour if look.lit(rows[at].model) else INK,
        )
        x, y = _share(rows[at])
        # An arrow of `annotate` would be cut at the text's box by bisection: a tenth of the figure's time.
        (line,) = axes.plot(
            (x, left + NEAR * (right - left)),
            (y, low + height * (high - low)),
            color=colour,
            linewidth=0.5,
            alpha=0.6,
            clip_on=False,
            zorder=1,
        )
        line.set_in_layout(False)


def _legend(heads: Sequence[str], *, hollow: bool) -> list[object]:
    from matplotlib.lines import Line2D

    marks = [(MARKERS[i % len(MARKERS)], SOFT, f"head: {head or 'own'}") for i, head in enumerate(heads)]
    marks += [("o", HOLLOW, "hollow: in doubt")] if hollow else []
    return [
        Line2D([], [], linestyle="", marker=marker, color=SOFT, markerfacecolor=face, label=label)
        for marker, face, label in marks
    ]
