"""Tables as values: what a cell shows, what it is sorted by, and where it leads."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from reports.board.board_types import Board, Measurement, Row
from reports.board.shares import Share
from reports.figures.palette import Look
from reports.html.background import Background
from reports.text.board_tables import ONE_DRAW, median_titles, medians
from reports.text.doubt_sentences import short_sentence
from reports.text.escape import NOTHING, number, over_batches, percent

T = TypeVar("T")

DECLARED = ("Training", "Architecture", "Paper")
"""Columns of what models and defenses declare of themselves."""

_NUMBER = re.compile(r", arXiv:[0-9.v]+")

FEW_ROWS = 5
"""Rows that need no field to filter them."""

MOST_MODELS = 64
"""Rows and columns of a heat map; it grows with their square."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column.

    Attributes:
        title: its header.
        numeric: aligned to the right, and the largest first when sorted the first time.
        head: whether its cells are the headers of their rows.
    """

    title: str
    numeric: bool = True
    head: bool = False


@dataclass(frozen=True, slots=True)
class Badge:
    """A short remark on a row, and the place that explains it; one that is lifted puts it in no doubt.

    Attributes:
        text: a few words.
        href: where it is explained.
        lifted: whether it changes nothing.
        code: of the finding behind it.
    """

    text: str
    href: str
    lifted: bool = False
    code: str = ""


@dataclass(frozen=True, slots=True)
class Swatch:
    """The colour of a model or attack in all figures of the page, as a small mark.

    Attributes:
        place: of its colour; None for grey.
        hollow: whether it is in doubt.
        name: beside the mark in a legend.
    """

    place: int | None
    hollow: bool = False
    name: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One cell.

    Attributes:
        text: what it says.
        order: what it is sorted by if not its text; None sorts last.
        bar: drawn with its interval.
        tint: 0 to 10, how strongly it is coloured; None not at all.
        framed: whether it stands out.
        href: where it leads.
        badges: remarks.
        span: two shares in [0, 1], drawn as a bar from the first to the second.
        swatch: the model's mark in the figures, drawn before the text.
        hint: the whole of a text that is shortened.
    """

    text: str = NOTHING
    order: str | float | None = None
    bar: Share | None = None
    tint: int | None = None
    framed: bool = False
    href: str = ""
    badges: tuple[Badge, ...] = ()
    span: tuple[float, float] | None = None
    swatch: Swatch | None = None
    hint: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table that can be sorted by any column.

    Attributes:
        name: letters and digits, unique on the page.
        caption: what it shows.
        columns: one per cell of a row.
        rows: the cells.
        filtered: whether it has a field that filters its rows.
    """

    name: str
    caption: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Entry, ...], ...]
    filtered: bool = False


def text_entry(text: str, *, href: str = "") -> Entry:
    """Return a cell of text."""
    return Entry(text=text or NOTHING, order=text.casefold() or None, href=href)


def number_entry(value: float | None) -> Entry:
    """Return a cell with a number."""
    return Entry(text=number(value), order=value)


def share(value: Share | None, *, drawn: bool = True) -> Entry:
    """Return a cell with a percentage: drawn as a bar with its interval, or tinted."""
    if value is None or value.value is None:
        return Entry()
    if drawn:
        return Entry(text=percent(value), order=value.value, bar=value)
    return Entry(text=percent(value), order=value.value, tint=math.floor(10 * value.value))


def leaderboard(
    board: Board,
    *,
    name: str,
    caption: str,
    links: dict[str, str],
    finding: dict[tuple[str, str], str],
    look: Look | None = None,
    known: Mapping[str, Background] | None = None,
) -> Table:
    """Return a board as a table, the headline first.

    Args:
        board: the board.
        name: the table's name.
        caption: what it shows.
        links: model to the address of its section.
        finding: (model, code) to the address of the evidence.
        look: of the models in the figures.
        known: what models and defenses declare of themselves, by the model's shown name; columns of which
            nothing is known are left out.
    """
    columns = _leaderboard_columns(board, name, links, finding, look, known or {})
    rows = tuple(tuple(entry(row) for _, entry in columns) for row in board.rows)
    titles = tuple(column for column, _ in columns)
    return Table(name=name, caption=caption, columns=titles, rows=rows, filtered=len(rows) > FEW_ROWS)


def _leaderboard_columns(
    board: Board,
    name: str,
    links: dict[str, str],
    finding: dict[tuple[str, str], str],
    look: Look | None,
    backgrounds: Mapping[str, Background],
) -> list[tuple[Column, Callable[[Row], Entry]]]:
    """Return the columns of a board in their order, and what stands in each for a row; see `leaderboard`."""
    has_attack, bounds = bool(board.attacks), board.certificates
    several = bounds if len(bounds) > 1 else ()
    has_sizes = any(row.median_l2 is not None for row in board.rows)
    by_size = math.isinf(board.eps) and has_sizes
    sizes = _sizes(board.norm) if has_sizes else []
    titles = [title for title in DECLARED if any(_declared(one, title) for one in backgrounds.values())]
    return [
        (Column("Rank"), lambda row: Entry(text=str(row.rank or NOTHING), order=row.rank)),
        (Column("Model", numeric=False, head=True), lambda row: _model(row, links, look)),
        *(sizes if by_size else []),
        *([(Column("Worst case, %"), lambda row: share(row.worst_case))] if has_attack else []),
        *([(Column("Certified, %"), lambda row: share(row.certified))] if bounds else []),
        *([(Column("Gap, points"), _gap)] if bounds else []),
        *([(Column(f"{ONE_DRAW}, %"), lambda row: share(row.one_draw, drawn=False))] if board.random else []),
        (Column("Clean, %"), lambda row: share(row.clean)),
        (Column("Remarks", numeric=False), lambda row: _remarks(row, board, name, finding)),
        *((Column(title, numeric=False), _of_background(backgrounds, title)) for title in titles),
        *([(Column("White-box, %"), lambda row: share(row.white_box, drawn=False))] if has_attack else []),
        *((Column(label), _of_attack(label)) for label in board.attacks),
        *((Column(label), _of_certificate(label)) for label in several),
        *(sizes if not by_size else []),
        *([(Column("Passes/image"), lambda row: number_entry(row.passes))] if has_attack else []),
        (Column("n"), lambda row: number_entry(row.n)),
    ]


def _of_background(backgrounds: Mapping[str, Background], title: str) -> Callable[[Row], Entry]:
    return lambda row: paper_entry(_declared(backgrounds.get(row.model, Background()), title))


def _of_attack(label: str) -> Callable[[Row], Entry]:
    return lambda row: share(row.attacks.get(label), drawn=False)


def _of_certificate(label: str) -> Callable[[Row], Entry]:
    return lambda row: share(row.certified_by.get(label), drawn=False)


def _sizes(norm: str) -> list[tuple[Column, Callable[[Row], Entry]]]:
    """Return the columns of median sizes, that of the norm first."""
    titles = list(enumerate(median_titles(norm)))
    return [(Column(title), _of_size(place, norm)) for place, title in _in_order(titles, norm)]


def _of_size(place: int, norm: str) -> Callable[[Row], Entry]:
    return lambda row: number_entry(medians(row, norm)[place])


def _in_order(values: list[T], norm: str) -> list[T]:
    """Return what belongs to the median sizes with that of the norm first."""
    return values[::-1] if norm == "Linf" else values


def _model(row: Row, links: dict[str, str], look: Look | None) -> Entry:
    entry = text_entry(row.model, href=links.get(row.model, ""))
    return entry if look is None else dataclasses.replace(entry, swatch=swatch(row.model, look, row.doubted))


def swatch(model: str, look: Look, hollow: bool = False) -> Swatch:
    """Return the mark of a model."""
    return Swatch(look.places.get(model), hollow, model)


def paper_entry(text: str) -> Entry:
    """Return a cell with authors and year of a paper, or other text as it is; the whole of it is its hint."""
    short = _NUMBER.sub("", text)
    return dataclasses.replace(text_entry(short), hint=text if short != text else "")


def _declared(background: Background, title: str) -> str:
    return {
        "Training": background.defense,
        "Architecture": background.architecture,
        "Paper": background.paper,
    }[title]


def _gap(row: Row) -> Entry:
    """Return the gap with a bar from what is certified to what attacks leave: the truth lies on it."""
    robustness = row.worst_case or row.clean
    if row.gap is None or row.gap.value is None or row.certified is None or robustness is None:
        return Entry()
    ends = (row.certified.value or 0.0, robustness.value or 0.0)
    return Entry(text=percent(row.gap), order=row.gap.value, span=(min(ends), max(ends)))


def _remarks(row: Row, board: Board, name: str, finding: dict[tuple[str, str], str]) -> Entry:
    partial = [Badge(f"partial{row.lacks}", "#partial")] if row.partial else []
    own = {doubt.code: doubt for doubt in board.doubts if doubt.model == row.model}
    badges = partial + [
        Badge(short_sentence(own[code]), finding.get((row.model, code), "#reading"), code=code)
        for code in row.unlifted
        if code in own
    ]
    if row.lifted:
        codes = ", ".join(row.lifted)
        badges += [Badge(f"{len(row.lifted)} lifted", f"#{name}-lifted", lifted=True, code=codes)]
    return Entry(
        text="" if badges else NOTHING,
        order=" ".join(b.code or b.text for b in badges) or None,
        badges=tuple(badges),
    )


def heat_map(board: Board, *, name: str) -> Table:
    """Return source x target: robust accuracy of targets on images crafted on sources, worst over attacks."""
    transfers = {(t.source, t.target): t.robust for t in board.combined_transfers()}
    every = {name for pair in transfers for name in pair}
    there = [row.model for row in board.rows if row.model in every]
    models = there[:MOST_MODELS]
    sources = {source for source, _ in transfers}
    columns = (Column("Crafted on", numeric=False, head=True), *(Column(model) for model in models))
    rows = tuple(
        (text_entry(source), *(_pair(transfers.get((source, target)), source == target) for target in models))
        for source in models
        if source in sources
    )
    caption = (
        "Robust accuracy in percent of the model at the top on images crafted on the model at the left, "
        "worst over all attacks and gradient sources. Framed: both are the same, so the attack is white-box."
    )
    if len(there) > MOST_MODELS:
        caption += f" The first {MOST_MODELS} of {len(there)} models of the board are shown."
    return Table(name=name, caption=caption, columns=columns, rows=rows)


def _pair(value: Share | None, same: bool) -> Entry:
    return dataclasses.replace(share(value, drawn=False), framed=same)


def measurement_table(measurements: Sequence[Measurement], *, norm: str, name: str, caption: str) -> Table:
    """Return the white-box cells of one model on one board: one row per attack and gradient source."""
    titles = [
        "Broken",
        "Wrong before",
        "Failed",
        *median_titles(norm),
        "Forwards",
        "Backwards",
    ]
    columns = [Column("Attack", numeric=False, head=True), Column("Gradient source", numeric=False)]
    columns += [Column("Robust, %"), Column("Findings", numeric=False)]
    columns += [Column(title) for title in titles] + [Column("Library", numeric=False)]
    has_batches = any(cell.robust.batches for cell in measurements)
    columns += [Column("Batches"), Column("Over batches, %", numeric=False)] if has_batches else []
    rows = tuple(
        (
            text_entry(cell.attack),
            text_entry(cell.gradient_source),
            share(cell.robust),
            text_entry(", ".join(cell.findings)),
            number_entry(cell.broken),
            number_entry(cell.misclassified),
            number_entry(cell.failed),
            *(number_entry(size) for size in medians(cell, norm)),
            number_entry(cell.forwards),
            number_entry(cell.backwards),
            text_entry(cell.library),
            *(map(text_entry, over_batches(cell.robust)) if has_batches else ()),
        )
        for cell in measurements
    )
    return Table(name=name, caption=caption, columns=tuple(columns), rows=rows)
