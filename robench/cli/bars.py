"""The moving part of a terminal: what is being done, above its bars."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Column
from rich.text import Text


class Bars(Progress):
    """Bars with a line above them, cut to the width of the terminal.

    Args:
        console: where they are drawn.
    """

    def __init__(self, console: Console) -> None:
        self.title = ""
        super().__init__(
            BarColumn(bar_width=6 if console.width < 100 else 24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            # Where room is short the description wraps, and the counts stay whole.
            TextColumn("{task.description}", markup=False, table_column=Column()),
            console=console,
            transient=True,
        )

    def get_renderables(self) -> Iterable[RenderableType]:
        """Yield the line and the bars."""
        if self.title:
            yield Text(self.title, no_wrap=True, overflow="ellipsis")
        yield from super().get_renderables()
