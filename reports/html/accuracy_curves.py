"""The accuracy curves of a board as values for the template: figure, caption, and the same in a table."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from markupsafe import Markup

from reports.board.board_types import Board
from reports.board.curves import IN_TURN, BoardCurves, CurveLines, Family, Panel, families
from reports.board.samples import Samples
from reports.board.shares import Share
from reports.figures.curve_figures import Compute, Restarts, Steps
from reports.figures.eps import Eps
from reports.figures.lines import attack_title
from reports.figures.palette import Look, look_of
from reports.figures.sizes import SHARES, Sizes
from reports.html.inline_svg import inline_svg
from reports.html.table_values import Column, Entry, Swatch, Table, number_entry, swatch, text_entry
from reports.text.escape import number, percent, visible

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_BYTES = 500_000
"""Bytes of these figures after which no further board gets any; the page says so."""

MOST_ROWS = 60
"""Rows of a table; curves.csv has them all."""

QUARTERS = (0.25, 0.5, 0.75)
PLACES = (1, 3, 10, 30, 100, 300, 1000, 3000)
"""The points at which a table shows values of a curve, up to its end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawing:
    """One figure.

    Attributes:
        title: its content, in a few words.
        caption: the meaning of its curves.
        figures: the pictures.
        legend: the meaning of each colour; empty if the picture shows it.
        table: the same in numbers.
        first: whether it stands beside the board's other figures, and not among the curves.
    """

    title: str
    caption: str
    figures: tuple[Markup, ...]
    legend: tuple[Swatch, ...]
    table: Table
    first: bool = False


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
        look: of the models in all figures.
    """

    def __init__(self, boards: Sequence[Board], samples: Sequence[Samples], look: Look) -> None:
        self.sections: list[CurveSection] = []
        self._look = look
        self._boards, self._samples, self._room = boards, samples, MOST_BYTES
        self._own = {at: family for family in families(boards, samples) for at in family.boards}

    def lines(self) -> CurveLines | None:
        """Return where the curves of the next board are put, None if the page has no room for them."""
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
        over_eps = _of_family(family, at, self._look) if family and first == at else ()
        drawings = (*over_eps, *_of_board(lines.curves(), at, self._look))
        self._room -= sum(len(figure) for one in drawings for figure in one.figures)
        self.sections.append(CurveSection(drawings=drawings, elsewhere=elsewhere))


def over_eps(
    boards: Sequence[Board], samples: Sequence[Samples], look: Look
) -> dict[int, tuple[Drawing, ...]]:
    """Return the figures over eps of boards that differ in the radius only, by the place of the first.

    Args:
        boards: the boards.
        samples: their records.
        look: of the models in all figures.
    """
    every = families(boards, samples)
    return {one.boards[0]: tuple(_of_family(one, one.boards[0], look)) for one in every}


def _of_family(family: Family, at: int, look: Look) -> Iterator[Drawing]:
    models = family.models
    doubts = {one.model for one in models if one.doubted or any(mark.doubted for mark in one.marks)}
    legend = _legend([one.model for one in models], look.of(doubts))
    figures = [Eps().draw(family, note="", look=look)]
    yield _drawing(
        at, "eps", "Accuracy by eps", Eps.note, figures, legend, _eps_table(family, at), first=True
    )
    if any(one.exact for one in models):
        figures = [Sizes().draw(family, note="", look=look)]
        title = "Smallest perturbations"
        yield _drawing(at, "sizes", title, Sizes.note, figures, (), _sizes_table(family, at), first=True)


def _of_board(curves: BoardCurves, at: int, look: Look) -> Iterator[Drawing]:
    joint = ""
    if curves.joint:
        joint = (
            " In a joint graph an image counts from the first batch that broke it, if the proposed one does."
        )
    look = look.of(row.model for row in curves.board.rows if row.doubted)
    kinds: tuple[tuple[Steps | Compute | Restarts, str, str, Sequence[Panel]], ...] = (
        (Steps(), "Accuracy by steps", "points", curves.points),
        (Compute(), "Accuracy by compute", "passes", curves.passes),
        (Restarts(), "Accuracy by restarts", "fresh starts", curves.tries),
    )
    for recipe, title, unit, panels in kinds:
        if panels:
            alone = len({line.model for panel in panels for line in panel.lines}) == 1
            own = look_of([attack_title(panel.attack) for panel in panels], narrow=True) if alone else look
            parts = recipe.parts(curves, own)
            legend = _legend(dict.fromkeys(name for _, names in parts for name in names), own)
            table = _table(panels, at, recipe.name, unit)
            figures = [figure for figure, _ in parts]
            yield _drawing(at, recipe.name, title, recipe.note + joint, figures, legend, table)


def _legend(names: Iterable[str], look: Look) -> tuple[Swatch, ...]:
    """Return the marks of the models with a colour, and one for all others."""
    every = tuple(names)
    swatches = [swatch(name, look, name in look.doubted) for name in every if look.lit(name)]
    rest = len(every) - len(swatches)
    return (*swatches, *([Swatch(None, False, f"the other {rest}")] if rest else []))


def _drawing(
    at: int,
    name: str,
    title: str,
    caption: str,
    figures: Sequence[Figure],
    legend: tuple[Swatch, ...],
    table: Table,
    *,
    first: bool = False,
) -> Drawing:
    start = "; ".join(" ".join(cell.text for cell in row) for row in table.rows[:3])
    description = f"{title}. The table below has the same in numbers. It begins: {visible(start)}."
    pictures = tuple(
        inline_svg(figure, name=f"board-{at}-{name}-{part}", description=description)
        for part, figure in enumerate(figures)
    )
    return Drawing(title=title, caption=caption, figures=pictures, legend=legend, table=table, first=first)


def _table(panels: Sequence[Panel], at: int, name: str, unit: str) -> Table:
    """Return the share that still stands after some numbers of points, passes or tries."""
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
    radii = sorted({mark.eps for one in family.models for mark in one.marks if mark.certified})
    columns += [Column(f"eps {marks[radius]}, %") for radius in sorted(marks)]
    columns += [Column(f"certified {marks[radius]}, %") for radius in radii]
    columns += [Column(f"{share:.0%} broken within") for share in QUARTERS]
    rows = []
    for one in family.models[:MOST_ROWS]:
        own = {mark.eps: mark.robust for mark in one.marks}
        thresholds = [one.exact.reached(share) if one.exact else None for share in QUARTERS]
        sure = {mark.eps: mark.certified for mark in one.marks}
        entries = [_cell(own.get(radius)) for radius in sorted(marks)]
        entries += [_cell(sure.get(radius)) for radius in radii]
        clean = Entry(text=f"{100 * one.clean:.1f}", order=one.clean)
        rows.append((text_entry(one.model), clean, *entries, *map(number_entry, thresholds)))
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
