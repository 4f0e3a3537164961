"""Boards as values for the template: the table, the threat in words, figures, evidence."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from reports.board.boards import Board, Doubt
from reports.board.depth import details_of, series_of
from reports.board.samples import Samples
from reports.figures.depth import Depth
from reports.figures.style import shown
from reports.figures.tradeoff import MOST_NAMED, Tradeoff, others_in_words
from reports.html.inline_svg import inline_svg
from reports.html.tables import Table, heat_map, leaderboard
from reports.text.escape import joint_note, percent, visible
from reports.text.sentences import threat_in_words
from robench.errors import ConfigError
from robench.record.parts import RecordedThreat


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """A finding with the address that badges lead to."""

    name: str
    model_link: str
    doubt: Doubt


@dataclass(frozen=True, slots=True, kw_only=True)
class BoardSection:
    """One board."""

    name: str
    title: str
    threat: str
    note: str
    table: Table
    tradeoff: Markup | None
    depth: Markup | None
    transfer: Table | None
    evidence: tuple[Evidence, ...]
    lost: int
    n: int


def board_sections(
    boards: Sequence[Board], samples: Sequence[Samples], links: dict[str, str], lost: Sequence[set[int]]
) -> list[BoardSection]:
    """Return the boards; `links` leads from a model's shown name to its section."""
    sections = []
    for number, (board, own, gone) in enumerate(zip(boards, samples, lost, strict=True)):
        name = f"board-{number}"
        evidence = tuple(
            Evidence(name=f"{name}-finding-{at}", model_link=links.get(doubt.model, ""), doubt=doubt)
            for at, doubt in enumerate(board.doubts)
        )
        threat = own.attacked[0].threat if own.attacked else RecordedThreat()
        sections.append(
            BoardSection(
                name=name,
                title=board.title,
                threat=threat_in_words(board, threat),
                note=joint_note(board),
                table=leaderboard(
                    board,
                    name=f"{name}-table",
                    caption=f"Leaderboard: {board.title}. Percentages with 95 % Wilson intervals.",
                    links=links,
                    finding={(e.doubt.model, e.doubt.code): f"#{e.name}" for e in evidence},
                ),
                tradeoff=_tradeoff(board, name),
                depth=_depth(board, own, name),
                transfer=heat_map(board, name=f"{name}-transfer") if board.transfers else None,
                evidence=evidence,
                lost=len(gone),
                n=board.n,
            )
        )
    return sections


def _tradeoff(board: Board, name: str) -> Markup | None:
    points = [
        f"{visible(row.model)}: clean {percent(row.clean)}, robust {percent(row.worst_case)}"
        for row in board.rows
        if row.clean and row.worst_case
    ]
    if len(points) < 2:  # one point shows nothing that the table does not
        return None
    readable = dataclasses.replace(
        board, dataset=shown(board.dataset), norm=shown(board.norm), eps_text=shown(board.eps_text)
    )
    try:
        figure = Tradeoff().draw(readable)
    except ConfigError:  # an infinite radius: nothing to draw
        return None
    more = others_in_words(len(points) - MOST_NAMED) if len(points) > MOST_NAMED else ""
    description = f"Clean against robust accuracy in percent. {more} {'; '.join(points[:MOST_NAMED])}."
    return inline_svg(figure, name=f"{name}-tradeoff", description=description)


def _depth(board: Board, own: Samples, name: str) -> Markup | None:
    """Return the figure of a board that holds at least two depths of a family; None for any other."""
    series = series_of(board, details_of((*own.clean, *own.attacked)))
    named = dataclasses.replace(board, norm=visible(board.norm), eps_text=visible(board.eps_text))
    try:
        figure = Depth().draw(named, series)
    except ConfigError:  # nothing to compare, or an infinite radius
        return None
    points = [
        f"{visible(point.row.model)}, depth {point.depth}: clean accuracy {percent(point.row.clean)}, "
        f"robust {percent(point.row.worst_case)}"
        for one in series
        for point in one.points
    ]
    description = f"Clean and robust error against depth. In percent: {'; '.join(points)}."
    return inline_svg(figure, name=f"{name}-depth", description=description)


def model_links(boards: Sequence[Board]) -> dict[str, str]:
    """Return the address of the section of every model, by its shown name."""
    names = dict.fromkeys(row.model for board in boards for row in board.rows if not row.absent)
    return {name: f"#model-{number}" for number, name in enumerate(names)}
