"""The accuracy curves of a board as values for the template: figure, caption, and the same in a table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from markupsafe import Markup

from reports.board.boards import Board
from reports.board.curves import IN_TURN, BoardCurves, CurveLines, Family, Panel, families
from reports.board.samples import Samples
from reports.board.shares import Share
from reports.figures.curve_figures import SHARES, Compute, Eps, Restarts, Sizes, Steps
from reports.html.inline_svg import inline_svg
from reports.html.tables import Column, Entry, Table, number_entry, text_entry
from reports.text.escape import number, percent, visible

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_BYTES = 500_000
"""Bytes of these figures after which no further board gets any; the page says so."""

MOST_ROWS = 60
"""Rows of a table; curves.csv has them all."""

QUARTERS = (0.25, 0.5, 0.75)
PLACES = (1, 3, 10, 30, 100, 300, 1000, 3000)
"""Where a table reads a curve off, as far as it goes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawing:
    """One figure.

    Attributes:
        title: what it shows, in a few words.
        caption: what its curves mean.
        figure: the picture.
        table: the same in numbers.
    """

    title: str
    caption: str
    figure: Markup
    table: Table


@dataclass(frozen=True, slots=True, kw_only=True)
class CurveSection:
    """The curves of one board.

    Attributes:
        drawings: its figures.
        elsewhere: address and title of the board that shows the curve over eps for this one too.
        left_out: whether there was no room for its figures.
    """

    drawings: tuple[Drawing, ...] = ()
    elsewhere: tuple[str, str] | None = None
    left_out: bool = False


class CurveSections:
    """The curves of every board, one board after another, as long as there is room on the page.

    Args:
        boards: the boards.
        samples: their records.
    """

    def __init__(self, boards: Sequence[Board], samples: Sequence[Samples]) -> None:
        self.sections: list[CurveSection] = []
        self._boards, self._samples, self._room = boards, samples, MOST_BYTES
        self._own = {at: family for family in families(boards, samples) for at in family.boards}

    def lines(self) -> CurveLines | None:
        """Return where the curves of the next board are put, None where there is no room for them."""
        at = len(self.sections)
        return CurveLines(self._boards[at], self._samples[at]) if self._room > 0 else None

    def draw(self, lines: CurveLines | None) -> None:
        """Draw the curves of the next board."""
        at = len(self.sections)
        family = self._own.get(at)
        first = family.boards[0] if family else at
        elsewhere = (f"#board-{first}-curves", self._boards[first].title) if first != at else None
        if lines is None:
            self.sections.append(CurveSection(elsewhere=elsewhere, left_out=True))
            return
        over_eps = _of_family(family, at) if family and first == at else ()
        drawings = (*over_eps, *_of_board(lines.curves(), at))
        self._room -= sum(len(one.figure) for one in drawings)
        self.sections.append(CurveSection(drawings=drawings, elsewhere=elsewhere))


def _of_family(family: Family, at: int) -> Iterator[Drawing]:
    figure = Eps().draw(family, note="")
    yield _drawing(at, "eps", "Accuracy by eps", Eps.note, figure, _eps_table(family, at))
    if any(one.exact for one in family.models):
        figure = Sizes().draw(family, note="")
        yield _drawing(at, "sizes", "Smallest perturbations", Sizes.note, figure, _sizes_table(family, at))


def _of_board(curves: BoardCurves, at: int) -> Iterator[Drawing]:
    joint = ""
    if curves.joint:
        joint = (
            " In a joint graph an image counts from the first batch that broke it, if the proposed one does."
        )
    if curves.points:
        table = _table(curves.points, at, "steps", "points")
        yield _drawing(
            at, "steps", "Accuracy by steps", Steps.note + joint, Steps().draw(curves, note=""), table
        )
    if curves.passes:
        table = _table(curves.passes, at, "compute", "passes")
        figure = Compute().draw(curves, note="")
        yield _drawing(at, "compute", "Accuracy by compute", Compute.note + joint, figure, table)
    if curves.tries:
        table = _table(curves.tries, at, "restarts", "fresh starts")
        figure = Restarts().draw(curves, note="")
        yield _drawing(at, "restarts", "Accuracy by restarts", Restarts.note + joint, figure, table)


def _drawing(at: int, name: str, title: str, caption: str, figure: Figure, table: Table) -> Drawing:
    start = "; ".join(" ".join(cell.text for cell in row) for row in table.rows[:3])
    description = f"{title}. The table below has the same in numbers. It begins: {visible(start)}."
    picture = inline_svg(figure, name=f"board-{at}-{name}", description=description)
    return Drawing(title=title, caption=caption, figure=picture, table=table)


def _table(panels: Sequence[Panel], at: int, name: str, unit: str) -> Table:
    """Return what is left standing after some numbers of points, passes or tries."""
    lines = [(panel.attack, line) for panel in panels for line in panel.lines]
    end = max(line.curve.end for _, line in lines)
    places = [place for place in PLACES if place < end]
    columns = [Column("Model", numeric=False, head=True), Column("Attack", numeric=False), Column("Clean, %")]
    columns += [Column(f"after {place}, %") for place in places]
    columns += [Column("at the end, %"), Column(f"{unit} in all")]
    rows = []
    for attack, line in lines[:MOST_ROWS]:
        curve = line.curve
        robust = [
            Share(curve.standing(place), curve.n) if place <= curve.end else None for place in (0, *places)
        ]
        rows.append(
            (
                text_entry(line.model),
                text_entry("all, in turn" if attack == IN_TURN else attack),
                *map(_cell, (*robust, Share(curve.robust[-1], curve.n))),
                number_entry(curve.end),
            )
        )
    caption = f"Robust accuracy in percent after so many {unit}, white-box{_first(len(lines))}."
    return Table(name=f"board-{at}-{name}-table", caption=caption, columns=tuple(columns), rows=tuple(rows))


def _eps_table(family: Family, at: int) -> Table:
    marks = {mark.eps: mark.eps_text for one in family.models for mark in one.marks}
    columns = [Column("Model", numeric=False, head=True), Column("Clean, %")]
    bounded = sorted({mark.eps for one in family.models for mark in one.marks if mark.certified})
    columns += [Column(f"eps {marks[radius]}, %") for radius in sorted(marks)]
    columns += [Column(f"certified {marks[radius]}, %") for radius in bounded]
    columns += [Column(f"{share:.0%} broken within") for share in QUARTERS]
    rows = []
    for one in family.models[:MOST_ROWS]:
        own = {mark.eps: mark.robust for mark in one.marks}
        reached = [one.exact.reached(share) if one.exact else None for share in QUARTERS]
        sure = {mark.eps: mark.certified for mark in one.marks}
        entries = [_cell(own.get(radius)) for radius in sorted(marks)]
        entries += [_cell(sure.get(radius)) for radius in bounded]
        clean = Entry(text=f"{100 * one.clean:.1f}", order=one.clean)
        rows.append((text_entry(one.model), clean, *entries, *map(number_entry, reached)))
    caption = f"Robust accuracy in percent by eps ({family.norm}), worst case{_first(len(family.models))}."
    return Table(name=f"board-{at}-eps-table", caption=caption, columns=tuple(columns), rows=tuple(rows))


def _sizes_table(family: Family, at: int) -> Table:
    titles = [f"{share:.0%}" for share in SHARES]
    columns = [Column("Model", numeric=False, head=True), *map(Column, titles), Column("never broken, %")]
    curves = [(one.model, one.exact) for one in family.models if one.exact]
    rows = tuple(
        (
            text_entry(name),
            *(number_entry(curve.reached(share)) for share in SHARES),
            _cell(Share(curve.robust[-1], curve.n)),
        )
        for name, curve in curves[:MOST_ROWS]
    )
    caption = (
        f"Size ({family.norm}) within which so large a share of all images is broken; a dash where it is "
        f"not, up to {number(max(c.end for _, c in curves))}{_first(len(curves))}."
    )
    return Table(name=f"board-{at}-sizes-table", caption=caption, columns=tuple(columns), rows=rows)


def _cell(share: Share | None) -> Entry:
    return Entry(text=percent(share), order=share.value if share else None)


def _first(count_of_rows: int) -> str:
    more = f"; the first {MOST_ROWS} of {count_of_rows} rows, all are in curves.csv"
    return more if count_of_rows > MOST_ROWS else ""
