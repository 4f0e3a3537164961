"""The plugin: runs to the paper's tables, filled in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import ClassVar, Literal

from rich.console import RenderableType

from reports.board.run_folder import Readable, Run, read_run
from reports.paper import renderers
from reports.paper.layout import PaperTable, paper_tables
from reports.paper.published import reference, tables
from robench.errors import ConfigError, nearest
from robench.recipe import Info
from robench.record.completeness import missing_rows
from robench.record.files import write_atomic
from robench.record.schema import Record

Format = Literal["md", "tex", "csv", "json"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Paper:
    """Tables 1 to 11 of Wang & Osher 2019 with our number, the published one and the difference.

    Attributes:
        table: number of one table; empty for all in which the records fill a cell.
        format: `md`, `tex`, `csv` or `json`.

    Raises:
        ConfigError: no such table.
    """

    info: ClassVar[Info] = Info(title="the paper's tables", paper="Wang & Osher 2019, arXiv:1907.06800")
    table: str = ""
    format: Format = "md"

    def __post_init__(self) -> None:
        """Refuse a table that the paper does not have."""
        if self.table and self.table not in tables():
            expected = f"one of the tables {', '.join(tables())} of {reference()}"
            raise ConfigError(where="table", expected=expected, got=repr(self.table),
                              do=nearest(self.table, tables()))  # fmt: skip

    def render(self, records: Sequence[Record]) -> str:
        """Return the tables of some records; how networks were trained is unknown without a run folder.

        Raises:
            ConfigError: no table was named, and none has a number of these records.
        """
        return self._render([Run(records=tuple(records))])

    def render_runs(self, folders: Sequence[Path], readable: Sequence[Readable | None] = ()) -> str:
        """Return the tables of run folders; damaged files are named at the end.

        Args:
            folders: the run folders.
            readable: what is in them, if it was read already.

        Raises:
            ConfigError: a folder is not a run, or no table was named and none has a number of these runs.
        """
        return self._render(_runs(folders, readable))

    def on_screen(
        self, folders: Sequence[Path], readable: Sequence[Readable | None] = ()
    ) -> list[RenderableType]:
        """Return the tables of run folders for the terminal.

        Args:
            folders: the run folders.
            readable: what is in them, if it was read already.

        Raises:
            ConfigError: as `render_runs`.
        """
        runs = _runs(folders, readable)
        return renderers.as_renderables(self._chosen(runs), _left_out(runs))

    def __call__(self, records: Sequence[Record], folder: Path) -> list[Path]:
        """Write paper-tables.md (or the other format) of a run folder and return its path.

        Raises:
            ConfigError: as `render`.
            StorageError: the disk mismatch; an older file is intact.
        """
        path = folder / f"paper-tables.{self.format}"
        write_atomic(path, self._render([read_run(folder, (records, ()))]))
        return [path]

    def _render(self, runs: Sequence[Run]) -> str:
        selection = self._chosen(runs)
        if self.format == "csv":
            return renderers.as_csv(selection)
        if self.format == "json":
            return renderers.as_json(selection, _left_out(runs))
        render = renderers.as_latex if self.format == "tex" else renderers.as_markdown
        return render(selection, _left_out(runs))

    def _chosen(self, runs: Sequence[Run]) -> list[PaperTable]:
        records = [record for run in runs for record in run.records]
        every_table = paper_tables(records, [training for run in runs for training in run.trainings])
        if self.table:
            return [table for table in every_table if table.published.number == self.table]
        selection = [table for table in every_table if table.filled]
        if not selection:
            raise ConfigError(
                expected=f"a run that measured a cell of Tables {', '.join(tables())} of {reference()}",
                got="none that did" if records else "no finished unit",
                do="Use `robench leaderboard RUN` for the numbers of a run; `robench table RUN --paper 6` "
                "says why no model belongs into Table 6",
            )
        return selection


def _runs(folders: Sequence[Path], readable: Sequence[Readable | None]) -> list[Run]:
    return [read_run(folder, own) for folder, own in zip_longest(folders, readable)]


def _left_out(runs: Sequence[Run]) -> list[str]:
    faults = [f"Left out, {fault.about}: {fault.text}" for run in runs for fault in run.unreadable]
    rows = [row for run in runs for row in missing_rows(run.records)]
    return [
        *faults,
        *(f"Partial, {model}, {setting}: lacks {'; '.join(texts)}" for setting, model, texts in rows),
    ]
