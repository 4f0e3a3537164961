"""Tables that fit the terminal: what is too wide for one is laid out as several, the rows' names in each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich import box
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

GAP = 3
"""Cells between two columns."""

WIDEST = 30
"""Cells that a column may claim before its text is folded, where the table has to be split."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitting:
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
            yield self._table(range(len(self.header)), self.title)
            return
        narrow = [min(self._width(at, wrapped=True), WIDEST) for at in range(len(self.header))]
        for number, part in enumerate(self.parts(narrow, options.max_width)):
            yield self._table(part, "" if number else self.title)

    def parts(self, widths: Sequence[int], most: int) -> list[list[int]]:
        """Return the columns of each part: the keys, and as many others as fit, at least one."""
        keys = list(range(min(self.keys, len(widths))))
        made: list[list[int]] = []
        others = range(len(keys), len(widths))
        for at in sorted(others, key=lambda at: self.header[at] not in self.first):
            last = made[-1] if made else None
            if last and _total([widths[i] for i in (*last, at)]) <= most:
                last.append(at)
            else:
                made.append([*keys, at])
        return made or [keys]

    def _width(self, at: int, *, wrapped: bool = False) -> int:
        """Return how many cells a column needs; `wrapped` lets its name break between words."""
        words = self.header[at].split() if wrapped else [self.header[at]]
        return max(map(cell_len, [*(words or [""]), *(row[at] for row in self.rows)]))

    def _table(self, columns: Sequence[int], title: str) -> Table:
        # Text, not str: rich would read square brackets in a name as markup.
        table = Table(
            title=Text(title, style="bold") if title else None,
            title_justify="left",
            box=box.SIMPLE_HEAD,
            pad_edge=False,
        )
        for at in columns:
            justify = "left" if self.header[at] in self.left else "right"
            table.add_column(Text(self.header[at]), justify=justify, overflow="fold")  # type: ignore[arg-type]
        for row in self.rows:
            table.add_row(*(Text(row[at]) for at in columns))
        return table


def _total(widths: Sequence[int]) -> int:
    return sum(widths) + GAP * (len(widths) - 1) + 2
