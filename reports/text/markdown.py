"""Leaderboards as one Markdown page."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from reports.board.boards import Board
from reports.board.leaderboard import boards
from reports.board.over_seeds import over_seeds
from reports.text.escape import (
    FRESH,
    certified_note,
    detail_table,
    joint_note,
    leaderboard_table,
    seed_table,
    transfer_table,
    visible,
)
from robench.recipe import Info
from robench.record.files import write_atomic
from robench.record.schema import Record

_ACTIVE = re.compile(r"([\\`*\[\]|~#!$])")
_EDGE_UNDERSCORE = re.compile(r"(?<![0-9A-Za-z])_|_(?![0-9A-Za-z])")
READING = """\
Accuracies in percent. **Worst case**: robust, image by image, against everything tried: all attacks, all
gradient sources, and images transferred from other models. **White-box**: the same without transfer. An
attack's column is the white-box worst case over gradient sources. Images that were misclassified from the
start and images for which an attack failed count as not robust. Models share a rank where the exact McNemar
test (5 %) cannot tell them from the first of that rank. No rank: partial rows; rows with a finding on the
clean images or in every white-box attack and gradient source; boards of fewer than 100 images. Findings in
brackets were met but put the row in no doubt: another attack or gradient source was free of them, or they can
move the number by less than its interval.
"""
OVER_SEEDS = """\
The same configuration with several seeds: mean, sample standard deviation (n - 1, in percentage points) and
range of each accuracy over the seeds. Every seed trains, draws its templates and attacks anew. A row is left
out where units are missing, and where a model was made or attacked otherwise than with the other seeds.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Markdown:
    """One Markdown page, leaderboard.md: boards, gradient sources, transfer, findings, and spread over seeds.

    Attributes:
        seeds_only: show the tables over seeds alone.
    """

    info: ClassVar[Info] = Info(title="Markdown", paper="none; GitHub Flavored Markdown")
    seeds_only: bool = False

    def render(self, records: Sequence[Record]) -> str:
        """Return the page of some records."""
        if self.seeds_only:
            return "\n".join(["# Over seeds\n", OVER_SEEDS, *_seed_sections(records)])
        every_board = boards(records)
        parts = ["# Leaderboard\n", READING]
        parts += [f"{escape(FRESH)}\n"] if any(board.random for board in every_board) else []
        for board in every_board:
            parts += _section(board)
        if repeated := _seed_sections(records):
            parts += ["## Over seeds\n", OVER_SEEDS, *repeated]
        return "\n".join(parts)

    def __call__(self, records: Sequence[Record], folder: Path) -> list[Path]:
        """Write the page and return its path.

        Raises:
            StorageError: the disk refused; an older page is intact.
        """
        path = folder / "leaderboard.md"
        write_atomic(path, self.render(records))
        return [path]


def escape(text: str) -> str:
    """Return text that Markdown, inside a table or not, shows as it is."""
    text = visible(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    text = _ACTIVE.sub(r"\\\1", text)
    return _EDGE_UNDERSCORE.sub(r"\\_", text)


def _section(board: Board) -> list[str]:
    parts = [f"## {escape(board.title)}\n", table(*leaderboard_table(board))]
    parts += [f"{escape(note)}\n" for note in (joint_note(board), certified_note(board)) if note]
    if board.transfers:
        parts += [
            "### Transfer\n",
            "Robust accuracy on images crafted on another model, worst over all attacks.\n",
        ]
        parts += [table(*transfer_table(board))]
    if board.cells:
        parts += ["### Gradient sources\n", table(*detail_table(board))]
    if board.doubts:
        parts += ["### Findings\n"]
        for doubt in board.doubts:
            what = f"{escape(doubt.model)}: {escape(doubt.code)}"
            parts += [f"- **{what}** ({doubt.count} x): {escape(doubt.evidence)}. {escape(doubt.remedy)}."]
        parts += [""]
    return parts


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
    escaped = [[escape(cell) for cell in line] if at != 1 else line for at, line in enumerate(lines)]
    return "\n".join("| " + " | ".join(line) + " |" for line in escaped) + "\n"
