"""A board as a table: one row a model, the headline first."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping

from reports.board.board_types import Board, Row
from reports.board.size_ranks import is_by_size
from reports.figures.palette import Look
from reports.html.background import Background
from reports.html.table_values import (
    Badge,
    Column,
    Entry,
    Table,
    number_entry,
    paper_entry,
    share,
    swatch,
    text_entry,
)
from reports.text.board_tables import ONE_DRAW, size_columns
from reports.text.doubt_sentences import short_sentence
from reports.text.escape import NOTHING, percent

DECLARED = ("Training", "Architecture", "Paper")
"""Columns of what models and defenses declare of themselves."""

FEW_ROWS = 5
"""Rows that need no field to filter them."""


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
    """Return the columns of a board in their order, and the cells of each row; see `leaderboard`."""
    has_attack, bounds = bool(board.attacks), board.certificates
    several = bounds if len(bounds) > 1 else ()
    by_size = is_by_size(board)
    sizes = _sizes(board)
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


def _sizes(board: Board) -> list[tuple[Column, Callable[[Row], Entry]]]:
    """Return the columns of median sizes, that of the norm first."""
    columns = [(Column(title), _of_size(size)) for title, size in size_columns(board)]
    return columns[::-1] if board.norm == "Linf" and not is_by_size(board) else columns


def _of_size(size: Callable[[Row], float | None]) -> Callable[[Row], Entry]:
    return lambda row: number_entry(size(row))


def _model(row: Row, links: dict[str, str], look: Look | None) -> Entry:
    entry = text_entry(row.model, href=links.get(row.model, ""))
    return entry if look is None else dataclasses.replace(entry, swatch=swatch(row.model, look, row.doubted))


def _declared(background: Background, title: str) -> str:
    return {
        "Training": background.defense,
        "Architecture": background.architecture,
        "Paper": background.paper,
    }[title]


def _gap(row: Row) -> Entry:
    """Return the gap with a bar from certified to robust accuracy: the true value lies on the bar."""
    robustness = row.worst_case or row.clean
    if row.gap is None or row.gap.value is None or row.certified is None or robustness is None:
        return Entry()
    ends = (row.certified.value or 0.0, robustness.value or 0.0)
    return Entry(text=percent(row.gap), order=row.gap.value, span=(min(ends), max(ends)))


def _remarks(row: Row, board: Board, name: str, finding: dict[tuple[str, str], str]) -> Entry:
    own = {doubt.code: doubt for doubt in board.doubts if doubt.model == row.model}
    doubts = {
        code: (short_sentence(doubt), finding.get((row.model, code), "#reading"))
        for code, doubt in own.items()
    }
    return remarks(row, doubts, lifted=f"#{name}-lifted")


def remarks(row: Row, doubts: Mapping[str, tuple[str, str]], *, lifted: str, page: str = "") -> Entry:
    """Return the remarks on a row: what it lacks, what puts it in doubt, how much is lifted.

    Args:
        row: of a board.
        doubts: of its findings, by code, the sentence and the place on the board's page that explains it.
        lifted: the place of the lifted findings on that page.
        page: address of the board's page; empty for the page that the remarks are on.
    """
    badges = [Badge(f"partial{row.lacks}", f"{page}#partial")] if row.partial else []
    for code in row.unlifted:
        if code in doubts:
            text, place = doubts[code]
            badges.append(Badge(text, f"{page}{place}", code=code))
    if row.lifted:
        codes = ", ".join(row.lifted)
        badges.append(Badge(f"{len(row.lifted)} lifted", f"{page}{lifted}", lifted=True, code=codes))
    return Entry(
        text="" if badges else NOTHING,
        order=" ".join(b.code or b.text for b in badges) or None,
        badges=tuple(badges),
    )
