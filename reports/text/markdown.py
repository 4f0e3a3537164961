"""Leaderboards as one Markdown page."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from reports.board.board_types import Board
from reports.board.grouping import split_into_boards
from reports.board.leaderboard import boards_of
from reports.board.over_seeds import over_seeds
from reports.board.paired_images import broken_on_all
from reports.text.answers import answer
from reports.text.board_tables import (
    FRESH,
    certified_note,
    detail_table,
    goal_note,
    joint_note,
    leaderboard_table,
    seed_table,
    transfer_table,
)
from reports.text.doubt_sentences import DoubtGroup, doubt_groups
from reports.text.escape import visible
from reports.text.one_file import OneFile
from robench.recipe import Info
from robench.record.schema import Record

_ACTIVE = re.compile(r"([\\`*\[\]|~#!$])")
_EDGE_UNDERSCORE = re.compile(r"(?<![0-9A-Za-z])_|_(?![0-9A-Za-z])")
READING = """\
Accuracies in percent. **Worst case**: robust, image by image, against everything tried: all attacks, all
gradient sources, and images transferred from other models. **White-box**: the same without transfer. An
attack's column is the white-box worst case over gradient sources. Images that were misclassified from the
start and images for which an attack failed count as not robust. Models share a rank where the exact McNemar
test (5 %) cannot tell them from the first of that rank. Without a radius they are ordered by the median size
of the smallest change over all images, none where the answer was wrong before, and share a rank where the
exact sign test (5 %) cannot tell them apart. No rank: partial rows; rows with a finding on the clean images
or in every white-box attack and gradient source; boards of fewer than 100 images. Findings in brackets were
met but put the row in no doubt: another attack or gradient source was free of them, or they can move the
number by less than its interval.
"""
OVER_SEEDS = """\
The same configuration with several seeds: mean, sample standard deviation (n - 1, in percentage points) and
range of each accuracy over the seeds. Every seed trains, draws its templates and attacks anew. A row is left
out where units are missing, and where a model was made or attacked otherwise than with the other seeds.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Markdown(OneFile):
    """One Markdown page, leaderboard.md: boards, gradient sources, transfer, findings, and spread over seeds.

    Attributes:
        seeds_only: show the tables over seeds alone.
    """

    info: ClassVar[Info] = Info(title="Markdown", paper="none; GitHub Flavored Markdown")
    file: ClassVar[str] = "leaderboard.md"
    seeds_only: bool = False

    def render(self, records: Sequence[Record]) -> str:
        """Return the page of some records."""
        if self.seeds_only:
            return "\n".join(["# Over seeds\n", OVER_SEEDS, *_seed_sections(records)])
        samples = split_into_boards(records)
        every_board = boards_of(samples)
        parts = ["# Leaderboard\n", READING]
        parts += [f"{escape(FRESH)}\n"] if any(board.random for board in every_board) else []
        for board, own in zip(every_board, samples, strict=True):
            parts += _section(board, len(broken_on_all(own)))
        if sections := _seed_sections(records):
            parts += ["## Over seeds\n", OVER_SEEDS, *sections]
        return "\n".join(parts)


def escape(text: str) -> str:
    """Return text that Markdown, inside a table or not, shows as it is."""
    text = visible(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    text = _ACTIVE.sub(r"\\\1", text)
    return _EDGE_UNDERSCORE.sub(r"\\_", text)


def _section(board: Board, losses: int) -> list[str]:
    own = answer(board, losses)
    parts = [
        f"## {escape(board.title)}\n",
        f"{escape(own.question)}\n",
        " ".join([f"**{escape(own.figure)}** {escape(own.about)}.", *map(escape, own.sentences)]) + "\n",
        table(*leaderboard_table(board)),
    ]
    parts += [
        f"{escape(note)}\n" for note in (goal_note(board), joint_note(board), certified_note(board)) if note
    ]
    if board.transfers:
        parts += [
            "### Transfer\n",
            "Robust accuracy on images crafted on another model, worst over all attacks.\n",
        ]
        parts += [table(*transfer_table(board))]
    if board.cells:
        parts += ["### Gradient sources\n", table(*detail_table(board))]
    parts += _doubts(board)
    return parts


def _doubts(board: Board) -> list[str]:
    """Return the doubts of a board by code; those that are lifted are folded away."""
    doubts, rest = (doubt_groups(board, unlifted=one) for one in (True, False))
    parts = ["### In doubt\n", *_groups(doubts)] if doubts else []
    if rest:
        count = sum(len(group.cases) for group in rest)
        summary = f"{count} finding{'' if count == 1 else 's'} that change{'s' if count == 1 else ''} nothing"
        parts += [f"<details><summary>{summary}</summary>\n", *_groups(rest), "</details>\n"]
    return parts


def _groups(groups: Sequence[DoubtGroup]) -> list[str]:
    parts = []
    for group in groups:
        parts += [f"- **{escape(group.headline[:1].upper() + group.headline[1:])}** ({escape(group.code)})"]
        for case in group.cases:
            one = case.doubt
            attack_note = f" Met by {escape(', '.join(case.attacks))}." if case.attacks else ""
            count_note = f" (the first of {one.count})" if one.count > 1 else ""
            remedy = "" if group.remedy else f" Remedy: {escape(one.remedy)}."
            parts += [f"  - {escape(one.model)}: {escape(one.evidence)}{count_note}.{attack_note}{remedy}"]
        parts += [f"  - Remedy: {escape(group.remedy)}."] if group.remedy else []
    return [*parts, ""]


def _seed_sections(records: Sequence[Record]) -> list[str]:
    parts = []
    for board in over_seeds(records):
        parts += [f"### {escape(board.title)}\n", table(*seed_table(board))]
        parts += [
            *(f"- left out: {escape(text)}" for text in board.left_out),
            *([""] if board.left_out else []),
        ]
    return parts


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table whose cells show exactly these texts."""
    lines = [header, ["---"] * len(header), *rows]
    cells_text = [[escape(cell) for cell in line] if at != 1 else line for at, line in enumerate(lines)]
    return "\n".join("| " + " | ".join(line) + " |" for line in cells_text) + "\n"
