"""Leaderboards for the terminal: a table too wide for it is laid out as several, the rows' names in each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from rich import box
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.table import Table
from rich.text import Text

from reports.board.board_types import Board
from reports.board.leaderboard import boards
from reports.board.over_seeds import over_seeds
from reports.text.board_tables import (
    CERTIFIED,
    FRESH,
    ONE_DRAW,
    certified_note,
    detail_table,
    joint_note,
    leaderboard_table,
    seed_table,
    transfer_table,
)
from reports.text.escape import visible
from robench.plurals import counted
from robench.recipe import Info
from robench.record.schema import Record

GAP = 3
"""Cells between two columns."""

WIDEST = 30
"""Cells that a column may claim before its text is folded, where the table has to be split."""

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
            # A model has several rows here: its name stands on the first.
            names = ["", *(row[0] for row in rows)]
            brief = [
                ["" if row[0] == before else row[0], *row[1:]]
                for before, row in zip(names, rows, strict=False)
            ]
            renderables.append(table(f"over seeds: {comparison.title}", header, brief))
            renderables += [Text(visible(f"left out: {text}"), style="dim") for text in comparison.left_out]
        return renderables

    def _board(self, board: Board) -> list[RenderableType]:
        renderables: list[RenderableType] = [table(board.title, *leaderboard_table(board))]
        renderables += [
            Text(visible(note), style="dim") for note in (joint_note(board), certified_note(board)) if note
        ]
        if board.random:
            renderables.append(Text(FRESH, style="dim"))
        if board.transfers:
            title = "transfer: accuracy on images crafted on another model"
            renderables.append(table(title, *transfer_table(board)))
        if self.details and board.cells:
            renderables.append(table("gradient sources, white-box", *detail_table(board)))
        # Whatever was met on a row that has a rank is lifted: one line instead of a page of them.
        ranking = set() if self.details else {row.model for row in board.rows if row.rank}
        open_doubts = [d for d in board.doubts if d.model not in ranking]
        renderables += [_doubt(d.model, d.code, d.evidence, d.remedy) for d in open_doubts]
        if count := len(board.doubts) - len(open_doubts):
            renderables.append(
                Text(
                    f"({counted(count, 'finding')} lifted on ranked rows; --details shows them)", style="dim"
                )
            )
        return renderables


def table(title: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> FittingTable:
    """Return a table for the terminal, in parts where it is too wide; nothing in it is markup."""
    keys = next((at for at, name in enumerate(header) if name not in _KEYS), len(header))
    return FittingTable(
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


def engine_table(records: Iterable[Record]) -> tuple[list[str], list[list[str]]]:
    """Return a header and, for every model and engine, how many white-box units it served.

    Records of earlier versions do not say it and are left out.
    """
    units: Counter[tuple[str, str]] = Counter()
    reasons: dict[tuple[str, str], dict[str, str]] = {}
    for record in records:
        engine = record.conditions.engine
        if not record.white_box or engine is None:
            continue
        place = (record.target.name, engine.used)
        units[place] += 1
        reasons.setdefault(place, {}).update(engine.not_used)
    rows = [
        [
            model,
            engine_name,
            str(count),
            "; ".join(f"{k}: {v}" for k, v in reasons[model, engine_name].items()) or "-",
        ]
        for (model, engine_name), count in units.items()
    ]
    return ["Model", "Asked", "Units", "Not used, and why"], rows


def memory_table(records: Iterable[Record]) -> tuple[list[str], list[list[str]]]:
    """Return a header and, for every model on which memory ran out, how many images at once fitted."""
    sizes: dict[str, list[int]] = {}
    for record in records:
        if micro_batch := record.conditions.micro_batch:
            sizes.setdefault(record.target.name, []).append(micro_batch)
    rows = [[model, str(min(batch_sizes)), str(len(batch_sizes))] for model, batch_sizes in sizes.items()]
    return ["Model", "Images at once", "Units"], rows


@dataclass(frozen=True, slots=True, kw_only=True)
class FittingTable:
    """A table, or several one below the other where the terminal is too narrow for one.

    Attributes:
        title: text above the first.
        header: names of the columns.
        rows: cells of every row, as many as columns.
        left: names of the columns that hold words.
        keys: how many of the first columns are repeated in every part.
        first: names of the columns that come first where there are parts.
    """

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    left: frozenset[str]
    keys: int = 1
    first: frozenset[str] = frozenset()

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield the table, or its parts."""
        whole = [self._width(at) for at in range(len(self.header))]
        if _total(whole) <= options.max_width:
            yield self._table(range(len(self.header)), self.title, options.max_width)
            return
        narrow = [min(self._width(at, breakable=True), WIDEST) for at in range(len(self.header))]
        for number, part in enumerate(self.parts(narrow, options.max_width)):
            yield self._table(part, "" if number else self.title, options.max_width)

    def parts(self, widths: Sequence[int], most: int) -> list[list[int]]:
        """Return the columns of each part: the keys, and as many others as fit, at least one."""
        keys = list(range(min(self.keys, len(widths))))
        every_part: list[list[int]] = []
        others = range(len(keys), len(widths))
        for at in sorted(others, key=lambda at: self.header[at] not in self.first):
            last = every_part[-1] if every_part else None
            if last and _total([widths[i] for i in (*last, at)]) <= most:
                last.append(at)
            else:
                every_part.append([*keys, at])
        return every_part or [keys]

    def _width(self, at: int, *, breakable: bool = False) -> int:
        """Return how many cells a column needs; `breakable` lets its name break between words."""
        pieces = self.header[at].split() if breakable else [self.header[at]]
        return max(map(cell_len, [*(pieces or [""]), *(row[at] for row in self.rows)]))

    def _table(self, columns: Sequence[int], title: str, most: int) -> Table:
        # Text, not str: rich would read square brackets in a name as markup.
        table = Table(
            title=Text(title, style="bold") if title else None,
            title_justify="left",
            box=box.SIMPLE_HEAD,
            pad_edge=False,
        )
        if (widths := self._unfolded(columns, most)) is not None:
            # A cell takes rich a third of a millisecond, so all of a line are one, and all lines too.
            table.add_column(Text("\n".join(self._head(columns, widths))), no_wrap=True)
            table.add_row(Text("\n".join(self._line(row, columns, widths) for row in self.rows)))
            return table
        for at in columns:
            justify = "left" if self.header[at] in self.left else "right"
            table.add_column(Text(self.header[at]), justify=justify, overflow="fold")  # type: ignore[arg-type]
        for row in self.rows:
            table.add_row(*(Text(row[at]) for at in columns))
        return table

    def _unfolded(self, columns: Sequence[int], most: int) -> list[int] | None:
        """Return the widths of columns of which no cell has to be folded, and at most one name; else None.

        The one name that may be folded is that of a column wider than all others, as rich folds it.
        """
        widths = [self._width(at) for at in columns]
        excess = _total(widths) - most
        if excess > 0:
            place = max(range(len(widths)), key=widths.__getitem__)
            widths[place] -= excess
            longest = max((cell_len(word) for word in self.header[columns[place]].split()), default=0)
            body = max((cell_len(row[columns[place]]) for row in self.rows), default=0)
            if (
                widths[place] < max(longest, body)
                or widths.count(max(widths)) > 1
                or max(widths) != widths[place]
            ):
                return None
        return widths if self.rows and min(widths) > 0 else None

    def _head(self, columns: Sequence[int], widths: Sequence[int]) -> list[str]:
        """Return the lines of the names."""
        names = [_folded(self.header[at], width) for at, width in zip(columns, widths, strict=True)]
        depth = max(map(len, names))
        columns_of_lines = [[*[""] * (depth - len(lines)), *lines] for lines in names]
        return [self._joined(cells, columns, widths) for cells in zip(*columns_of_lines, strict=True)]

    def _line(self, row: Sequence[str], columns: Sequence[int], widths: Sequence[int]) -> str:
        return self._joined([row[at] for at in columns], columns, widths)

    def _joined(self, cells: Sequence[str], columns: Sequence[int], widths: Sequence[int]) -> str:
        texts = []
        for cell, at, width in zip(cells, columns, widths, strict=True):
            space = " " * (width - cell_len(cell))
            texts.append(cell + space if self.header[at] in self.left else space + cell)
        return (" " * GAP).join(texts)


def _folded(name: str, width: int) -> list[str]:
    """Return the lines of a name that is folded between words."""
    lines = [""]
    for word in name.split(" "):
        longer = f"{lines[-1]} {word}" if lines[-1] else word
        if cell_len(longer) <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines


def _total(widths: Sequence[int]) -> int:
    return sum(widths) + GAP * (len(widths) - 1) + 2
