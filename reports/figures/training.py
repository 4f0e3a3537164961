"""How a network was trained: accuracy and loss by epoch, with the stages and the epoch that was kept."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from reports.figures.style import COLOURS, styled
from robench.errors import ConfigError
from robench.history import Row, chosen_row

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ACCURACIES = {
    "train_accuracy": ("training, clean", 0, "--"),
    "train_robust_accuracy": ("training, attacked", 1, "--"),
    "validation_accuracy": ("held out, clean", 0, "-"),
    "validation_robust_accuracy": ("held out, attacked", 1, "-"),
    "validation_own_accuracy": ("held out, the defense's attack", 2, "-"),
}
"""Column to its name in the legend, its colour and its line."""


def draw(rows: Sequence[Row]) -> Figure:
    """Return the training curves of one network: accuracy on the left, loss on the right.

    Args:
        rows: its history; see `robench.history`.

    Raises:
        ConfigError: the history is empty.
    """
    from matplotlib.figure import Figure

    if not rows:
        raise ConfigError(where="history", expected="at least one epoch", got="none")
    with styled():
        figure = Figure(figsize=(7.2, 2.9), layout="constrained")
        left, right = figure.subplots(1, 2, width_ratios=(3, 2))
        for column, (name, colour, line) in ACCURACIES.items():
            _curve(left, rows, column, label=name, colour=COLOURS[colour], line=line, factor=100.0)
        _curve(right, rows, "loss", label="", colour=COLOURS[0], line="-", factor=1.0)
        kept = chosen_row(rows)
        for axes, title in ((left, "Accuracy, %"), (right, "Training loss")):
            _stages(axes, rows)
            if kept is not None:
                axes.axvline(_place(rows, kept), color="#777777", linewidth=0.8, linestyle=":")
            axes.set_title(title)
            axes.set_xlabel("epoch (dotted: the one that was kept)")
        if left.get_legend_handles_labels()[0]:
            left.legend(fontsize=7, frameon=False)
    return figure


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
