"""Models as values for the template: the card, the training, and what was measured on every board."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from reports.board.board_types import Board, Row
from reports.board.identities import model_of
from reports.board.run_folder import Run
from reports.board.samples import Samples
from reports.board.shares import Share
from reports.html.accuracy_curves import CurveSections
from reports.html.attack_tables import measurement_table
from reports.html.board_sections import BoardSection, Evidence
from reports.html.feature_sections import FeatureSection, feature_sections
from reports.html.gallery import Guide, Strip
from reports.html.pixels import Pixels
from reports.html.table_values import Table
from reports.text.facts import Fact, card, trained
from robench.record.schema import Record

MOST_PICTURES = 2_000_000
"""Bytes of pictures on one page, shared among models and boards."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One model on one board."""

    title: str
    board_link: str
    row: Row
    cells: Table | None
    evidence: tuple[Evidence, ...]
    strips: tuple[Strip, ...]
    features: FeatureSection | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSection:
    """One model: its card, and what was measured on every board."""

    name: str
    title: str
    headline: Share | None
    facts: tuple[Fact, ...]
    training: tuple[Fact, ...]
    parts: tuple[Part, ...]


def model_sections(
    run: Run,
    boards: Sequence[Board],
    samples: Sequence[Samples],
    sections: Sequence[BoardSection],
    lost: Sequence[set[int]],
    links: dict[str, str],
    curves: CurveSections | None = None,
) -> list[ModelSection]:
    """Return a section for every model, in the order of the boards, and draw the curves of each if asked to.

    All that asks for the columns of a model is made before the next model: they are read once for it.
    """
    pixels = Pixels(run.root)
    guides = [Guide(own, pixels) for own in samples]
    parts: dict[str, list[Part]] = {name: [] for name in links}
    targets: dict[str, Record] = {}
    share = MOST_PICTURES // max(1, sum(len(board.rows) for board in boards if board.norm))
    identities_of = [{name: target for target, name in own.names.items()} for own in samples]
    order = [
        [names[row.model] for row in board.rows] for board, names in zip(boards, identities_of, strict=True)
    ]
    spaces = feature_sections(run, samples, order, links)
    for board, own, section, guide, losses, identities, space in zip(
        boards, samples, sections, guides, lost, identities_of, spaces, strict=True
    ):
        target_of = {model_of(record.target): record for record in (*own.clean, *own.attacked)}
        lines = curves.lines() if curves else None
        for number, row in enumerate(board.rows):
            target = identities[row.model]
            if row.absent:
                continue
            targets.setdefault(row.model, target_of[target])
            measurements = list(board.white_box(row.model))
            caption = f"Every white-box attack on {row.model}, {board.title}"
            parts[row.model].append(
                Part(
                    title=section.title,
                    board_link=f"#{section.name}",
                    row=row,
                    cells=measurement_table(
                        measurements,
                        norm=board.norm,
                        name=f"{section.name}-cells-{number}",
                        caption=caption,
                    )
                    if measurements
                    else None,
                    evidence=tuple(e for e in section.evidence if e.doubt.model == row.model),
                    strips=guide.strips(target, lost=losses, budget=share),
                    features=space.get(target),
                )
            )
            if lines is not None:
                lines.add(target)
        if curves:
            curves.draw(lines)
    return [
        ModelSection(
            name=links[name].removeprefix("#"),
            title=name,
            headline=next((part.row.worst_case for part in own_parts if part.row.worst_case), None),
            facts=card(targets[name].target),
            training=trained(targets[name].target, run.trainings),
            parts=tuple(own_parts),
        )
        for name, own_parts in parts.items()
    ]
