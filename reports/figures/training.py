"""How a network was trained: accuracy and loss by epoch, with the stages and the epoch that was kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from reports.board.run_folder import Training as Done
from reports.board.run_folder import read_trainings
from reports.figures.selection import OfRunFolders
from reports.figures.style import COLOURS, NARROW, check_suffix, save, shown, styled
from robench.errors import ConfigError
from robench.recipe import Info
from robench.record.training_history import Row, chosen_row

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

MOST = 6
"""Trainings in one picture."""

ACCURACIES = {
    "train_accuracy": ("training, clean", 0, "--"),
    "train_robust_accuracy": ("training, attacked", 1, "--"),
    "validation_accuracy": ("held out, clean", 0, "-"),
    "validation_robust_accuracy": ("held out, attacked", 1, "-"),
    "validation_own_accuracy": ("held out, the defense's attack", 2, "-"),
}
"""Column to its name in the legend, its colour and its line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Training(OfRunFolders):
    """A row per network: accuracy and loss by epoch, its stages, and the epoch whose weights were kept."""

    info: ClassVar[Info] = Info(title="Training curves", paper="Wang & Osher 2019, arXiv:1907.06800, Fig. 4")

    def of_runs(self, folders: Sequence[Path], path: Path, *, board: str | None = None) -> Path:
        """Draw the networks trained in some run folders and write the picture.

        Args:
            folders: run folders, of `robench train` or `robench run`.
            path: ends in .svg, .png or .pdf.
            board: text in the names of the networks wanted; None for all.

        Raises:
            ConfigError: no network of that name was trained there, more than `MOST` were, or another suffix.
            StorageError: writing to disk failed; an older file is intact.
        """
        check_suffix(path)
        trainings = [one for folder in folders for one in read_trainings(folder)]
        selection = [one for one in trainings if board is None or board in one.name]
        names = ", ".join(repr(one.name) for one in trainings) or "none"
        if not selection:
            what = "a folder with `models/*/history.csv`" if not trainings else f"text in one of: {names}"
            got = repr(board) if trainings else "none"
            raise ConfigError(where=", ".join(map(str, folders)), expected=what, got=got)
        if len(selection) > MOST:
            do = "Choose by text in their names: --board TEXT"
            raise ConfigError(where="board", expected=f"at most {MOST} networks", got=names, do=do)
        save(draw_several(selection), path)
        return path


def draw(rows: Sequence[Row], *, narrow: bool = False) -> Figure:
    """Return the training curves of one network: accuracy on the left, loss on the right.

    Args:
        rows: its history; see `robench.record.training_history`.
        narrow: with the loss below, for the width of a phone.

    Raises:
        ConfigError: the history is empty.
    """
    from matplotlib.figure import Figure

    if not rows:
        raise ConfigError(where="history", expected="at least one epoch", got="none")
    with styled():
        figure = Figure(figsize=(NARROW, 4.4) if narrow else (7.2, 2.9), layout="constrained")
        _fill(figure, rows, narrow=narrow)
    return figure


def draw_several(trainings: Sequence[Done]) -> Figure:
    """Return the training curves of some networks, a row for each, under its name."""
    from matplotlib.figure import Figure

    with styled():
        figure = Figure(figsize=(7.2, 3.1 * len(trainings)), layout="constrained")
        parts = figure.subfigures(len(trainings), 1, squeeze=False)[:, 0]
        for part, one in zip(parts, trainings, strict=True):
            part.suptitle(shown(one.name), x=0.01, ha="left", fontsize=10, fontweight="bold")
            _fill(part, one.history)
    return figure


def _fill(figure: Figure | SubFigure, rows: Sequence[Row], *, narrow: bool = False) -> None:
    from matplotlib.ticker import MaxNLocator

    if narrow:
        left, right = figure.subplots(2, 1, height_ratios=(3, 2))
    else:
        left, right = figure.subplots(1, 2, width_ratios=(3, 2))
    for column, (name, colour, line) in ACCURACIES.items():
        _curve(left, rows, column, label=name, colour=COLOURS[colour], line=line, factor=100.0)
    _curve(right, rows, "loss", label="", colour=COLOURS[0], line="-", factor=1.0)
    row = chosen_row(rows)
    for axes, title in ((left, "Accuracy, %"), (right, "Training loss")):
        _stages(axes, rows)
        if row is not None:
            axes.axvline(_place(rows, row), color="#777777", linewidth=0.8, linestyle=":")
        axes.set_title(title)
        axes.set_xlabel("epoch (dotted: the one that was kept)")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    if left.get_legend_handles_labels()[0]:
        left.legend(fontsize=7, frameon=False)


def _place(rows: Sequence[Row], row: Row) -> float:
    """Return how many epochs were over after a row; stages may each count theirs from 1."""
    return 1.0 + next(i for i, other in enumerate(rows) if other is row)


def _curve(
    axes: Axes, rows: Sequence[Row], column: str, *, label: str, colour: str, line: str, factor: float
) -> None:
    points = [(1.0 + i, factor * row[column]) for i, row in enumerate(rows) if column in row]
    if points:
        marker = "o" if len(points) == 1 else ""
        axes.plot(*zip(*points, strict=True), line, label=label, color=colour, linewidth=1.4, marker=marker)


def _stages(axes: Axes, rows: Sequence[Row]) -> None:
    """Mark where the next stage begins."""
    for i in range(1, len(rows)):
        if rows[i].get("stage") != rows[i - 1].get("stage"):
            axes.axvline(i + 0.5, color=COLOURS[1], linewidth=1.0)
            axes.annotate(
                f"stage {rows[i].get('stage', 0):.0f}",
                xy=(i + 0.5, 1.0),
                xycoords=("data", "axes fraction"),
                xytext=(3, -9),
                textcoords="offset points",
                fontsize=7,
                color=COLOURS[1],
            )
