"""Leaderboards for the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from rich import box
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from reports.boards import Board
from reports.leaderboard import boards
from reports.text import detail_cells, leaderboard_cells, transfer_cells, visible
from robench.recipe import Info
from robench.record import Record

_WORDS = {"Model", "Attack", "Gradient source", "Findings", "Crafted on \\ judged on"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Screen:
    """Tables for the terminal, as rich renderables.

    Attributes:
        details: also show gradient sources one by one.
    """

    info: ClassVar[Info] = Info(title="screen", paper="none")
    details: bool = False

    def __call__(self, records: Sequence[Record]) -> list[RenderableType]:
        """Return the tables of every board."""
        shown: list[RenderableType] = []
        for board in boards(records):
            shown += self._board(board)
        return shown

    def _board(self, board: Board) -> list[RenderableType]:
        shown: list[RenderableType] = [_table(board.title, *leaderboard_cells(board))]
        if board.transfers:
            title = "transfer: accuracy on images crafted on another model"
            shown.append(_table(title, *transfer_cells(board)))
        if self.details and board.cells:
            shown.append(_table("gradient sources, white-box", *detail_cells(board)))
        shown += [_doubt(d.model, d.code, d.evidence, d.remedy) for d in board.doubts]
        return shown


def _table(title: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    # Text, not str: rich would read square brackets in a name as markup.
    table = Table(
        title=Text(visible(title), style="bold"), title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False
    )
    for name in header:
        justify = "left" if name in _WORDS else "right"
        table.add_column(Text(visible(name)), justify=justify, overflow="fold")  # type: ignore[arg-type]
    for row in rows:
        table.add_row(*(Text(visible(cell)) for cell in row))
    return table


def _doubt(model: str, code: str, evidence: str, remedy: str) -> Text:
    text = Text("! ", style="yellow")
    text.append(visible(f"{model}: {code}"), style="bold")
    text.append(visible(f": {evidence}. {remedy}."))
    return text
