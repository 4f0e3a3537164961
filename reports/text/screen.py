"""Leaderboards for the terminal: a table too wide for it is laid out as several, the rows' names in each."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from rich.console import RenderableType
from rich.text import Text

from reports.board.board_types import Board, Doubt
from reports.board.leaderboard import boards
from reports.board.over_seeds import over_seeds
from reports.text.board_tables import (
    CERTIFIED,
    FRESH,
    ONE_DRAW,
    certified_note,
    detail_table,
    goal_note,
    joint_note,
    leaderboard_table,
    seed_table,
    transfer_table,
)
from reports.text.escape import visible
from reports.text.fitting_table import FittingTable
from reports.text.kept_parts import read, written
from robench.plurals import counted
from robench.recipe import Info
from robench.record.schema import Record

_KEYS = frozenset({"Rank", "Model", "Attack", "Gradient source", "Crafted on \\ judged on", "Accuracy"})
_HEADLINE = frozenset({"Clean [95% CI]", "Worst case [95% CI]", CERTIFIED, "Gap", ONE_DRAW, "n", "Findings"})
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

MANY_TIES = 0.05
"""Share of images without an answer from which a board says so: other programs take the first of equals."""
_TIES = re.compile(r"(\d+) of (\d+) images? got no answer")


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
        renderables: list[RenderableType] = []
        if not self.seeds_only:
            for board in boards(records):
                renderables += self._board(board)
        if self.details:
            for title, (header, rows) in (
                ("what the attacks asked", engine_table(records)),
                ("where memory ran out", memory_table(records)),
            ):
                if rows:
                    renderables.append(table(title, header, rows))
        for comparison in over_seeds(records):
            header, rows = seed_table(comparison)
            # A model has several rows here: its name is only in the first.
            names = ["", *(row[0] for row in rows)]
            brief = [
                ["" if row[0] == before else row[0], *row[1:]]
                for before, row in zip(names, rows, strict=False)
            ]
            renderables.append(table(f"over seeds: {comparison.title}", header, brief))
            renderables += [Text(visible(f"left out: {text}"), style="dim") for text in comparison.left_out]
        return renderables

    @staticmethod
    def written(parts: Sequence[RenderableType]) -> str:
        """Return the result as a text, to be kept."""
        return written(parts)

    @staticmethod
    def read(text: str) -> list[RenderableType]:
        """Return the result from a kept text.

        Raises:
            ValueError, TypeError, KeyError: the text does not have this form.
        """
        return read(text)

    def _board(self, board: Board) -> list[RenderableType]:
        renderables: list[RenderableType] = [table(board.title, *leaderboard_table(board))]
        renderables += [
            Text(visible(note), style="dim")
            for note in (goal_note(board), joint_note(board), certified_note(board))
            if note
        ]
        if board.random:
            renderables.append(Text(FRESH, style="dim"))
        if board.transfers:
            title = "transfer: accuracy on images crafted on another model"
            renderables.append(table(title, *transfer_table(board)))
        if self.details and board.cells:
            renderables.append(table("gradient sources, white-box", *detail_table(board)))
        # Lifted findings put nothing in doubt: one line instead of a page of them.
        open_doubts = [d for d in board.doubts if self.details or d.unlifted or _lowers(d)]
        renderables += [_doubt(d.model, d.code, d.evidence, d.remedy) for d in open_doubts]
        if count := len(board.doubts) - len(open_doubts):
            command = "`robench leaderboard --details` shows them"
            remark = f"({counted(count, 'finding')} lifted; {command})"
            renderables.append(Text(remark, style="dim"))
        return renderables


def table(title: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> FittingTable:
    """Return a table for the terminal, in parts if it is too wide; its text is never markup."""
    keys = next((at for at, name in enumerate(header) if name not in _KEYS), len(header))
    return FittingTable(
        title=visible(title),
        header=[visible(name) for name in header],
        rows=[[visible(cell) for cell in row] for row in rows],
        left=frozenset(_WORDS),
        first=_HEADLINE,
        keys=max(keys, 1),
    )


def _lowers(doubt: Doubt) -> bool:
    """Tell whether a mended finding explains a number that is far below what other programs count."""
    match = _TIES.match(doubt.evidence) if doubt.code == "tied-output" else None
    return match is not None and int(match[1]) >= MANY_TIES * int(match[2])


def _doubt(model: str, code: str, evidence: str, remedy: str) -> Text:
    text = Text("! ", style="yellow")
    text.append(visible(f"{model}: {code}"), style="bold")
    text.append(visible(f": {evidence}. {remedy}."))
    return text


def engine_table(records: Iterable[Record]) -> tuple[list[str], list[list[str]]]:
    """Return a header and, for every model and engine, how many white-box units it served, and how exactly.

    Records of earlier versions do not say it and are left out.
    """
    units: Counter[tuple[str, str]] = Counter()
    reasons: dict[tuple[str, str], dict[str, str]] = {}
    proofs: dict[tuple[str, str], float] = {}
    for record in records:
        engine = record.conditions.engine
        if not record.white_box or engine is None:
            continue
        place = (record.target.name, engine.used)
        units[place] += 1
        reasons.setdefault(place, {}).update(engine.not_used)
        if engine.proof is not None:
            proofs[place] = max(proofs.get(place, 0.0), engine.proof.get("outputs", 0.0))
    rows = [
        [
            model,
            engine_name,
            str(count),
            f"{proofs[model, engine_name]:.2g}" if (model, engine_name) in proofs else "-",
            "; ".join(f"{k}: {v}" for k, v in reasons[model, engine_name].items()) or "-",
        ]
        for (model, engine_name), count in units.items()
    ]
    return ["Model", "Asked", "Units", "Outputs off by", "Not used, and why"], rows


def memory_table(records: Iterable[Record]) -> tuple[list[str], list[list[str]]]:
    """Return a header and, for every model on which memory ran out, how many images at once fitted."""
    sizes: dict[str, list[int]] = {}
    for record in records:
        if micro_batch := record.conditions.micro_batch:
            sizes.setdefault(record.target.name, []).append(micro_batch)
    rows = [[model, str(min(batch_sizes)), str(len(batch_sizes))] for model, batch_sizes in sizes.items()]
    return ["Model", "Images at once", "Units"], rows
