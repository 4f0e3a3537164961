"""Boards as values for the template: the table, the threat in words, figures, evidence."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from reports.board.board_types import Board, Doubt, Row
from reports.board.depth import details_of, series_of
from reports.board.samples import Samples
from reports.figures.depth import Depth
from reports.figures.palette import Look
from reports.figures.style import shown
from reports.figures.tradeoff import MOST_NAMED, Tradeoff, others_in_words
from reports.html.attack_tables import heat_map
from reports.html.background import Background
from reports.html.inline_svg import inline_svg
from reports.html.leaderboard_table import leaderboard
from reports.html.table_values import Table
from reports.text.answers import Answer, answer
from reports.text.board_tables import goal_note, joint_note
from reports.text.doubt_sentences import DoubtGroup, doubt_groups
from reports.text.escape import percent, visible
from reports.text.sentences import threat_in_words
from robench.errors import ConfigError
from robench.plan.data_title import images_title
from robench.record.parts import RecordedThreat


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """A finding with the address that badges lead to, its sentence, and the attacks that met it."""

    name: str
    model_link: str
    doubt: Doubt
    short: str = ""
    attacks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class EvidenceGroup:
    """What was met under one code, on every model; `remedy` where it is the same for all."""

    code: str
    headline: str
    cases: tuple[Evidence, ...]
    remedy: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BoardSection:
    """One board; `short` is its title among those of the same page."""

    name: str
    title: str
    short: str
    threat: str
    note: str
    answer: Answer
    table: Table
    tradeoff: Markup | None
    unnamed: str
    depth: Markup | None
    transfer: Table | None
    evidence: tuple[Evidence, ...]
    doubts: tuple[EvidenceGroup, ...]
    lifted: tuple[EvidenceGroup, ...]
    lost: int
    n: int
    models: int


def board_sections(
    boards: Sequence[Board],
    samples: Sequence[Samples],
    links: dict[str, str],
    lost: Sequence[set[int]],
    *,
    look: Look,
    known: Mapping[str, Background] | None = None,
) -> list[BoardSection]:
    """Return the boards.

    Args:
        boards: the boards.
        samples: their records.
        links: from a model's shown name to its section.
        lost: the images that no model of each survives.
        look: of the models in all figures.
        known: what models and defenses declare, by identity of the model.
    """
    sections, shorts = [], short_titles(boards)
    for number, (board, own, losses) in enumerate(zip(boards, samples, lost, strict=True)):
        name = f"board-{number}"
        groups = [
            (is_open, group) for is_open in (True, False) for group in doubt_groups(board, unlifted=is_open)
        ]
        names = {(doubt.model, doubt.code): f"{name}-finding-{at}" for at, doubt in enumerate(board.doubts)}
        shown_groups = [
            (is_open, EvidenceGroup(group.code, group.headline, _cases(group, names, links), group.remedy))
            for is_open, group in groups
        ]
        threat = own.attacked[0].threat if own.attacked else RecordedThreat()
        sections.append(
            BoardSection(
                name=name,
                title=board.title,
                short=shorts[number],
                threat=threat_in_words(board, threat),
                note=" ".join(note for note in (goal_note(board), joint_note(board)) if note),
                answer=answer(board, len(losses)),
                table=leaderboard(
                    board,
                    name=f"{name}-table",
                    caption=f"Leaderboard: {board.title}. Percentages with 95 % Wilson intervals.",
                    links=links,
                    finding={place: f"#{one}" for place, one in names.items()},
                    look=look,
                    known=known and {label: known[one] for one, label in own.names.items() if one in known},
                ),
                tradeoff=_tradeoff(board, name, look),
                unnamed=others_in_words(sum(1 for row in board.rows if _both(row)) - MOST_NAMED),
                depth=_depth(board, own, name),
                transfer=heat_map(board, name=f"{name}-transfer") if board.transfers else None,
                evidence=tuple(one for _, group in shown_groups for one in group.cases),
                doubts=tuple(group for is_open, group in shown_groups if is_open),
                lifted=tuple(group for is_open, group in shown_groups if not is_open),
                lost=len(losses),
                n=board.n,
                models=sum(not row.absent for row in board.rows),
            )
        )
    return sections


def short_titles(boards: Sequence[Board]) -> list[str]:
    """Return the threat of every board, with its data where there are several; whole where two are alike."""
    several = len({(board.dataset, board.split) for board in boards}) > 1
    titles = [
        (f"{images_title(board.dataset, board.split)}, " if several else "") + _threat(board).strip()
        for board in boards
    ]
    return [
        title[:1].upper() + title[1:] if titles.count(title) == 1 else board.title
        for board, title in zip(boards, titles, strict=True)
    ]


def _threat(board: Board) -> str:
    return board.threat.power(board.eps_text) if board.norm else "no attack"


def _cases(
    group: DoubtGroup, names: Mapping[tuple[str, str], str], links: Mapping[str, str]
) -> tuple[Evidence, ...]:
    return tuple(
        Evidence(
            name=names[case.doubt.model, case.doubt.code],
            model_link=links.get(case.doubt.model, ""),
            doubt=case.doubt,
            short=case.short,
            attacks=case.attacks,
        )
        for case in group.cases
    )


def _both(row: Row) -> bool:
    """Tell whether a row has both accuracies of the figure."""
    return bool(row.clean and row.worst_case)


def _tradeoff(board: Board, name: str, look: Look) -> Markup | None:
    points = [
        f"{visible(row.model)}: clean {percent(row.clean)}, robust {percent(row.worst_case)}"
        for row in board.rows
        if _both(row)
    ]
    if len(points) < 2:  # one point shows nothing that the table does not
        return None
    readable = dataclasses.replace(
        board, dataset=shown(board.dataset), norm=shown(board.norm), eps_text=shown(board.eps_text)
    )
    try:
        figure = Tradeoff().draw(readable, look)
    except ConfigError:  # an infinite radius: nothing to draw
        return None
    more = others_in_words(len(points) - MOST_NAMED) if len(points) > MOST_NAMED else ""
    description = f"Clean against robust accuracy in percent. {more} {'; '.join(points[:MOST_NAMED])}."
    return inline_svg(figure, name=f"{name}-tradeoff", description=description)


def _depth(board: Board, own: Samples, name: str) -> Markup | None:
    """Return the figure of a board that holds at least two depths of a family; None for any other."""
    series = series_of(board, details_of((*own.clean, *own.attacked)))
    clean_board = dataclasses.replace(board, norm=visible(board.norm), eps_text=visible(board.eps_text))
    try:
        figure = Depth().draw(clean_board, series, narrow=True)
    except ConfigError:  # nothing to compare, or an infinite radius
        return None
    points = [
        f"{visible(point.row.model)}, depth {point.depth}: clean accuracy {percent(point.row.clean)}, "
        f"robust {percent(point.row.worst_case)}, certified {percent(point.row.certified)}"
        for one in series
        for point in one.points
    ]
    what = "Clean and robust error" if board.norm else "Clean error"
    description = f"{what} against depth. In percent: {'; '.join(points)}."
    return inline_svg(figure, name=f"{name}-depth", description=description)


def model_links(boards: Sequence[Board]) -> dict[str, str]:
    """Return the address of the section of every model, by its shown name."""
    names = dict.fromkeys(row.model for board in boards for row in board.rows if not row.absent)
    return {name: f"#model-{number}" for number, name in enumerate(names)}
