"""Leaderboards as one Markdown page."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from reports.boards import Board
from reports.leaderboard import boards
from reports.text import detail_cells, leaderboard_cells, transfer_cells, visible
from robench.files import write_atomic
from robench.recipe import Info
from robench.record import Record

_ACTIVE = re.compile(r"([\\`*\[\]|~#!$])")
_EDGE_UNDERSCORE = re.compile(r"(?<![0-9A-Za-z])_|_(?![0-9A-Za-z])")
READING = """\
Accuracies in percent. **Worst case**: robust, image by image, against everything tried: all attacks, all
gradient sources, and images transferred from other models. **White-box**: the same without transfer. An
attack's column is the white-box worst case over gradient sources. Images that were misclassified from the
start and images for which an attack failed count as not robust. Models share a rank where the exact McNemar
test (5 %) cannot tell them from the first of that rank. No rank: partial rows; rows with a finding on the
clean images or in every white-box attack and gradient source; boards of fewer than 100 images.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Markdown:
    """One Markdown page, leaderboard.md: boards, gradient sources, transfer, findings."""

    info: ClassVar[Info] = Info(title="Markdown", paper="none; GitHub Flavored Markdown")

    def render(self, records: Sequence[Record]) -> str:
        """Return the page of some records."""
        parts = ["# Leaderboard\n", READING]
        for board in boards(records):
            parts += _section(board)
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
    parts = [f"## {escape(board.title)}\n", _table(*leaderboard_cells(board))]
    if board.transfers:
        parts += [
            "### Transfer\n",
            "Robust accuracy on images crafted on another model, worst over all attacks.\n",
        ]
        parts += [_table(*transfer_cells(board))]
    if board.cells:
        parts += ["### Gradient sources\n", _table(*detail_cells(board))]
    if board.doubts:
        parts += ["### Findings\n"]
        for doubt in board.doubts:
            what = f"{escape(doubt.model)}: {escape(doubt.code)}"
            parts += [f"- **{what}** ({doubt.count} x): {escape(doubt.evidence)}. {escape(doubt.remedy)}."]
        parts += [""]
    return parts


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    escaped = [[escape(cell) for cell in line] if at != 1 else line for at, line in enumerate(lines)]
    return "\n".join("| " + " | ".join(line) + " |" for line in escaped) + "\n"
