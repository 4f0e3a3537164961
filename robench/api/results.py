"""Records and what is made from them: tables, figures, files. No torch here."""

from __future__ import annotations

import io
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from robench import plugins
from robench.api import html
from robench.api.plots import Plots
from robench.errors import ConfigError, JobError
from robench.format_names import plugin_of
from robench.plan.data_title import images_title
from robench.plurals import counted
from robench.recipe import build
from robench.record.exchange.export_files import is_of_files, write_files
from robench.record.exchange.frame import frame_of
from robench.record.exchange.plain_boards import PlainBoard, PlainRow, PlainShare, plain_tables
from robench.record.schema import Record
from robench.record.threat_summary import ThreatSummary
from robench.visible_text import visible

if TYPE_CHECKING:
    import pandas as pd

MedianColumn = Literal["median_l2", "median_linf", "median_own", "median_size"]
"""The name of the median size of changes in a row, by the norm of its board."""

SHARES = ("clean", "white_box", "worst_case")

HEADLINE = ("rank", "model", "clean", "worst_case", "n", "findings", "lifted_findings", "norm", "eps_text")
"""The first columns of `Results.leaderboard`."""


MOST_SHARES = 3
"""Most rows of boards whose numbers are in the line that `repr` returns."""


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Results:
    """What was measured, with tables and figures of it.

    Attributes:
        records: one for each model, attack, gradient source and shard.
        failures: what failed, a text for each job.
    """

    records: tuple[Record, ...]
    failures: tuple[str, ...] = ()

    def to_frame(self) -> pd.DataFrame:
        """Return a tidy table: a line for each image and measurement, a column for each fact.

        `status` is the judge's verdict: `robust`, `broken`, `misclassified` before any attack, or `failed`.
        Lines of clean images have the attack `clean`. `model` is the judged model, and `source` the model on
        which the images were crafted: in white-box lines both are equal.
        """
        return frame_of(self.records)

    def leaderboard(self) -> pd.DataFrame:
        """Return the boards as a table: a line for each model and threat, shares with 95 % intervals.

        The most important columns, `HEADLINE`, are first, so that they are visible if a frame is cut. Of the
        codes in `findings`, separated by spaces, `lifted_findings` has those that do not put the row in
        doubt, and `standing` those that do; each may be empty. All other columns are those of the CSV file.
        If the run has not measured anything yet, the table has no lines.

        Raises:
            JobError: nothing was measured, because every job failed; gives the reason of the first failure.
        """
        import pandas as pd

        if not self.records:
            if self.failures:
                do = "Mend what failed; `.failures` has all of it"
                title, _, trace = self.failures[0].strip().partition(": Traceback")
                reason = trace.splitlines()[-1][:300] if trace else ""
                got = f"none, for {counted(len(self.failures), 'job')} failed: {title[:300]}: {reason}"
                raise JobError(where="leaderboard", expected="at least one measurement", got=got, do=do)
            return pd.DataFrame(columns=[*HEADLINE])
        text: str = plugins.find("reports", "csv")().render(self.records)
        frame = pd.read_csv(io.StringIO(text), keep_default_na=False, na_values=[""])
        every, standing = (
            [codes.split() if isinstance(codes, str) else [] for codes in frame[name]]
            for name in ("findings", "standing")
        )
        rest = [
            [one for one in own if one not in doubts] for own, doubts in zip(every, standing, strict=True)
        ]
        frame["lifted_findings"] = pd.Series([" ".join(own) for own in rest], dtype=object)
        for name in ("findings", "standing"):
            frame[name] = frame[name].astype(object).fillna("")
        return frame[[*HEADLINE, *(name for name in frame if name not in HEADLINE)]]

    @property
    def plot(self) -> Plots:
        """The figures: `plot.tradeoff()`, or any other by its name, `plot("transfer")`."""
        return Plots(self.records)

    def write(self, folder: str | Path, *formats: str, **options: Any) -> list[Path]:
        """Write files into a folder and return their paths.

        Args:
            folder: where to write.
            formats: `csv` and `markdown` by default; `parquet`, `huggingface`, `model_index`, `owasp` or any
                other that is written as files (`robench list reports`).
            options: of the formats, such as `dataset="me/digits"` for `huggingface`.

        Raises:
            PluginError: no format has that name.
            ConfigError: a format has no such option, lacks something, or is not written as files.
            StorageError: writing to disk failed.
        """
        names = [plugin_of(name) for name in formats or ("csv", "markdown")]
        kinds = {name: _of_files(name) for name in names}
        recipes = [build(kind, options, where=f"write, {name}") for name, kind in kinds.items()]
        return [
            path
            for recipe in recipes
            for path in write_files(recipe, self.records, Path(folder), runs=self._folders())
        ]

    def _folders(self) -> tuple[Path, ...]:
        """Return the run folders that the records come from."""
        return ()

    def __repr__(self) -> str:
        """Return one line: models, attacks, images, failures, and for few models what stays robust."""
        return f"{type(self).__name__}({self._summary()})"

    def _summary(self) -> str:
        models = {record.target.name for record in self.records}
        attacks = {record.attack.label for record in self.records if not record.attack.is_clean}
        data = dict.fromkeys(
            images_title(record.dataset.name, record.dataset.split) for record in self.records
        )
        images = {(record.dataset.set, index) for record in self.records for index in record.columns.index}
        words = [_counted(len(models), "model"), _counted(len(attacks), "attack")]
        return (
            f"{', '.join(words)} on {' and '.join(data) or 'nothing'}, {_counted(len(images), 'image')}; "
            f"{_counted(len(self.records), 'record')}, {len(self.failures)} failed{self._shares()}"
        )

    def _shares(self) -> str:
        """Return the worst case of every model in percent; empty if they do not fit into a line."""
        boards = [board for board in self._boards() if board["norm"]] if self.records else []
        if not 0 < sum(len(board["rows"]) for board in boards) <= MOST_SHARES:
            return ""
        return "".join(map(_answer, boards))

    def _repr_html_(self) -> str:
        if not self.records:
            return html.text(repr(self))
        return "".join(_board(board) for board in self._boards())

    def _boards(self) -> list[PlainBoard]:
        """Return the boards as plain data."""
        return plain_tables(self.records)["boards"]


def _of_files(name: str) -> Any:
    """Return the report plugin of a format that is written as files."""
    plugin = plugins.find("reports", name)
    if not is_of_files(plugin):
        do = "Choose csv, markdown, latex, html, json, parquet, huggingface, model_index or owasp"
        expected = "a format that is written as files"
        raise ConfigError(where="write", expected=expected, got=repr(name), do=do)
    return plugin


def _board(board: PlainBoard) -> str:
    """Return a board as an HTML table."""
    attacks = board["attacks"]
    power = ThreatSummary(board["norm"], float(board["eps"] or 0)).power(board["eps_text"])
    caption = f"{board['dataset']} {board['split']}, {board['n']} images, {power}"
    median = _median_column(board)
    sizes = [f"Median {board['norm']}"] if any(row[median] is not None for row in board["rows"]) else []
    header = ["Model", "Clean, %", *attacks, "White-box", "Worst case, % [95 %]", *sizes, "n", "Findings"]
    rows = [
        [
            row["model"],
            _percent(row["clean"]),
            *(_percent(row["attacks"].get(label)) for label in attacks),
            _percent(row["white_box"]),
            _percent(row["worst_case"], interval=True),
            *(["-" if row[median] is None else f"{row[median]:.4g}"] if sizes else []),
            row["n"],
            _findings(row),
        ]
        for row in board["rows"]
    ]
    return html.table(caption, header, rows)


def _median_column(board: PlainBoard) -> MedianColumn:
    """Return the name in a row of the median size of changes in the norm of its board."""
    if any(row["median_size"] is not None for row in board["rows"]):
        return "median_size"
    columns: dict[str, MedianColumn] = {"L2": "median_l2", "Linf": "median_linf"}
    return columns.get(board["norm"], "median_own")


def _answer(board: PlainBoard) -> str:
    """Return the results of a board's rows in words: what stands, or how small a change is enough."""
    if not math.isinf(float(board["eps"] or 0)):
        return f"; robust under {board['norm']} {board['eps_text']}: {', '.join(map(_share, board['rows']))}"
    sizes = [
        f"{visible(row['model'])} {'-' if (size := row[_median_column(board)]) is None else f'{size:.4g}'}"
        f"{_doubt(row)}"
        for row in board["rows"]
    ]
    return f"; median smallest {board['norm']} change: {', '.join(sizes)}"


def _share(row: PlainRow) -> str:
    """Return the worst case of a row in words."""
    return f"{visible(row['model'])} {_percent(row['worst_case'])} %{_doubt(row)}"


def _doubt(row: PlainRow) -> str:
    return " (in doubt)" if row["doubted"] else ""


def _findings(row: PlainRow) -> str:
    """Return the codes of a row as the terminal shows them: lifted codes are in brackets."""
    rest = [code for code in row["findings"] if code not in row["standing"]]
    return ", ".join([*row["standing"], *([f"({', '.join(rest)})"] if rest else [])]) or "-"


def _percent(share: PlainShare | None, *, interval: bool = False) -> str:
    """Return a share of the boards in percent, with its interval if wanted; a dash for no share."""
    if not share or not share["n"]:
        return "-"
    value = f"{100 * share['count'] / share['n']:.1f}"
    return f"{value} [{100 * share['low']:.1f}, {100 * share['high']:.1f}]" if interval else value


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'s' * (count != 1)}"
