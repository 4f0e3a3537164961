"""A table for the terminal that is laid out as several, one below the other, where one is too wide."""

from __future__ import annotations

import re
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
        pieces = _words(self.header[at]) if breakable else [self.header[at]]
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
            # rich needs a third of a millisecond for each cell, so the whole table is one cell.
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
        """Return the widths of columns of which only names have to be folded, between words; else None."""
        widths = [self._width(at) for at in columns]
        least = [self._width(at, breakable=True) for at in columns]
        for _ in range(_total(widths) - most):
            place = max(range(len(widths)), key=lambda at: widths[at] - least[at])
            if widths[place] == least[place]:
                return None
            widths[place] -= 1
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


def _words(name: str) -> list[str]:
    """Return the parts of a name between which it may break; text in brackets is one part."""
    return re.findall(r"\[[^\]]*\]|\S+", name)


def _folded(name: str, width: int) -> list[str]:
    """Return the lines of a name that is folded between words."""
    lines = [""]
    for word in _words(name):
        longer = f"{lines[-1]} {word}" if lines[-1] else word
        if cell_len(longer) <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines


def _total(widths: Sequence[int]) -> int:
    return sum(widths) + GAP * (len(widths) - 1) + 2
