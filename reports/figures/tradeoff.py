"""Clean against robust accuracy: what a defense gains, and what it costs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from reports.board.boards import Board, Row
from reports.figures.lines import GREY, remark
from reports.figures.selection import draw_to
from reports.figures.style import COLOURS, MARKERS, blank, shown, styled
from robench.errors import ConfigError
from robench.recipe import Info
from robench.record.schema import Record

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_NAMED = 24
"""Models with a colour, an interval and a name; more names cannot be read, and take long to place."""

BESIDE = 1.03
"""Where the names begin, in widths of the axes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tradeoff:
    """One point per model: clean accuracy to the right, worst-case robust accuracy up, with 95 % intervals.

    The names stand beside the plot in the order of their points, each joined to its own by a line, so none
    covers another. The marker shows the head. Of more models than `MOST_NAMED` the first of the board are
    named, and the others are grey points without an interval; the figure says how many.
    """

    info: ClassVar[Info] = Info(
        title="Clean against robust accuracy", paper="Tsipras et al. 2019, arXiv:1805.12152"
    )

    def __call__(self, records: Sequence[Record], path: Path, *, board: str | None = None) -> Path:
        """Draw the board with that text in its title and write it to `path`; see `selection.draw_to`."""
        return draw_to(self.draw, records, path, board=board)

    def draw(self, board: Board) -> Figure:
        """Return the figure of one board.

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
        rows, others = rows[:MOST_NAMED], rows[MOST_NAMED:]
        rows.sort(key=lambda row: (_share(row)[1], _share(row)[0]))
        heads = sorted({row.head for row in rows})
        order = [row.model for row in board.rows]  # a model has one colour in all figures of a board
        with styled():
            figure, axes = blank(7.2, max(3.6, 0.24 * len(rows) + 1.2))
            if others:
                x, y = zip(*map(_share, others), strict=True)
                axes.plot(x, y, linestyle="", marker=".", markersize=4, color=GREY)
                remark(figure, others_in_words(len(others)))
            for number, row in enumerate(rows):
                colour = COLOURS[order.index(row.model) % len(COLOURS)]
                _point(axes, row, colour, MARKERS[heads.index(row.head) % len(MARKERS)])
                height = (number + 0.5) / len(rows)
                axes.annotate(
                    shown(row.model),
                    xy=_share(row),
                    xytext=(BESIDE, height),
                    textcoords="axes fraction",
                    va="center",
                    color=colour,
                    arrowprops={"arrowstyle": "-", "color": colour, "linewidth": 0.5, "alpha": 0.5},
                    annotation_clip=False,
                )
            axes.set_xlabel("clean accuracy, %")
            axes.set_ylabel(f"robust accuracy, {board.norm} {board.eps_text}, worst case, %")
            axes.set_title(
                "\n".join(
                    [f"{board.dataset}, {board.n} images", ", ".join(board.threat.conditions())]
                ).strip()
            )
            if len(heads) > 1:
                handles = _legend(heads)
                figure.legend(handles=handles, loc="outside lower left", ncols=len(heads), frameon=False)
        return figure


def others_in_words(count: int) -> str:
    """Return what is said of the models that have no name in the figure; nothing of none."""
    named = f"The first {MOST_NAMED} models of the board have names"
    return f"{named}; the other {count} are grey points without their intervals." if count else ""


def _share(row: Row) -> tuple[float, float]:
    assert row.clean and row.worst_case  # noqa: PT018 - draw kept only such rows
    return 100 * (row.clean.value or 0.0), 100 * (row.worst_case.value or 0.0)


def _point(axes: Axes, row: Row, colour: str, marker: str) -> None:
    assert row.clean and row.worst_case  # noqa: PT018 - draw kept only such rows
    x, y = _share(row)
    axes.errorbar(
        x,
        y,
        xerr=[[x - 100 * row.clean.low], [100 * row.clean.high - x]],
        yerr=[[y - 100 * row.worst_case.low], [100 * row.worst_case.high - y]],
        fmt=marker,
        color=colour,
        markersize=6,
        elinewidth=0.8,
    )


def _legend(heads: list[str]) -> list[object]:
    from matplotlib.lines import Line2D

    return [
        Line2D(
            [],
            [],
            linestyle="",
            marker=MARKERS[i % len(MARKERS)],
            color="#555555",
            label=f"head: {head or 'own'}",
        )
        for i, head in enumerate(heads)
    ]
