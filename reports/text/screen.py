"""Leaderboards for the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from rich.console import RenderableType
from rich.text import Text

from reports.board.boards import Board
from reports.board.engines import engine_cells
from reports.board.leaderboard import boards
from reports.board.over_seeds import over_seeds
from reports.text.escape import (
    FRESH,
    ONE_DRAW,
    detail_cells,
    joint_note,
    leaderboard_cells,
    seed_cells,
    transfer_cells,
    visible,
)
from reports.text.fitting import Fitting
from robench.recipe import Info
from robench.record.schema import Record

_KEYS = frozenset({"Rank", "Model", "Attack", "Gradient source", "Crafted on \\ judged on", "Accuracy"})
_HEADLINE = frozenset({"Clean [95% CI]", "Worst case [95% CI]", ONE_DRAW, "n", "Findings"})
_WORDS = {
    "Model",
    "Number",
    "Attack",
    "Gradient source",
    "Findings",
    "Crafted on \\ judged on",
    "Accuracy",
    "Seed: value",
    "Asked",
    "Not used, and why",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Screen:
    """Tables for the terminal, as rich renderables.

    Attributes:
        details: also show gradient sources one by one, and what the attacks asked.
        seeds_only: show the tables over seeds alone.
    """

    info: ClassVar[Info] = Info(title="screen", paper="none")
    details: bool = False
    seeds_only: bool = False

    def __call__(self, records: Sequence[Record]) -> list[RenderableType]:
        """Return the tables of every board, then those over seeds if there are several."""
        shown: list[RenderableType] = []
        if not self.seeds_only:
            for board in boards(records):
                shown += self._board(board)
        header, rows = engine_cells(records)
        if self.details and rows:
            shown.append(table("what the attacks asked", header, rows))
        for repeated in over_seeds(records):
            header, rows = seed_cells(repeated)
            # A model has several rows here: its name stands on the first.
            names = ["", *(row[0] for row in rows)]
            brief = [
                ["" if row[0] == before else row[0], *row[1:]]
                for before, row in zip(names, rows, strict=False)
            ]
            shown.append(table(f"over seeds: {repeated.title}", header, brief))
            shown += [Text(visible(f"left out: {text}"), style="dim") for text in repeated.left_out]
        return shown

    def _board(self, board: Board) -> list[RenderableType]:
        shown: list[RenderableType] = [table(board.title, *leaderboard_cells(board))]
        if note := joint_note(board):
            shown.append(Text(visible(note), style="dim"))
        if board.drawn:
            shown.append(Text(FRESH, style="dim"))
        if board.transfers:
            title = "transfer: accuracy on images crafted on another model"
            shown.append(table(title, *transfer_cells(board)))
        if self.details and board.cells:
            shown.append(table("gradient sources, white-box", *detail_cells(board)))
        # Whatever was met on a row that has a rank is lifted: one line instead of a page of them.
        ranked = set() if self.details else {row.model for row in board.rows if row.rank}
        told = [d for d in board.doubts if d.model not in ranked]
        shown += [_doubt(d.model, d.code, d.evidence, d.remedy) for d in told]
        if lifted := len(board.doubts) - len(told):
            shown.append(
                Text(f"({lifted} findings lifted on ranked rows; --details shows them)", style="dim")
            )
        return shown


def table(title: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> Fitting:
    """Return a table for the terminal, in parts where it is too wide; nothing in it is markup."""
    keys = next((at for at, name in enumerate(header) if name not in _KEYS), len(header))
    return Fitting(
        title=visible(title),
        header=[visible(name) for name in header],
        rows=[[visible(cell) for cell in row] for row in rows],
        left=frozenset(_WORDS),
        first=_HEADLINE,
        keys=max(keys, 1),
    )


def _doubt(model: str, code: str, evidence: str, remedy: str) -> Text:
    text = Text("! ", style="yellow")
    text.append(visible(f"{model}: {code}"), style="bold")
    text.append(visible(f": {evidence}. {remedy}."))
    return text
