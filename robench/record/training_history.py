"""The history of a training, one row per epoch: stored as CSV, summarised, checked for robust overfitting.

The text about a training that changed nothing is here too.

Columns, empty where something was not measured::

    epoch, stage                  counted from 1; `stage` only where there are several
    loss, learning_rate           mean over the epoch; of its last step
    train_accuracy                during training, on the clean images
    train_robust_accuracy         during training, on the attacked training images
    validation_accuracy           on the held-out part, after the epoch
    validation_robust_accuracy    on the held-out part under attack
    validation_own_accuracy       under the defense's own attack, which chooses the checkpoint, if the column
                                  before is of another attack
    validation_images             number of held-out images
    best                          1 if the epoch is better than all earlier epochs of its stage
    seconds                       of the epoch, including the held-out part

No torch here.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from robench.plurals import counted
from robench.record.files import write_atomic
from robench.record.measures.statistics import wilson

Row = Mapping[str, float]

UNCHANGED: Final = "unchanged_parameters"
"""Of a training that changed none: their number, on the card of its weights and in the model's details."""

COLUMNS = (
    "epoch", "stage", "loss", "learning_rate", "train_accuracy", "train_robust_accuracy",
    "validation_accuracy", "validation_robust_accuracy", "validation_own_accuracy", "validation_images",
    "best", "seconds",
)  # fmt: skip


def write_history(path: Path, rows: Sequence[Row]) -> None:
    """Write a history atomically: a reader sees the complete old or the complete new one.

    Raises:
        StorageError: writing to disk failed; the older file is intact.
    """
    others = dict.fromkeys(name for row in rows for name in row if name not in COLUMNS)
    stream = io.StringIO()
    table = csv.DictWriter(stream, [*COLUMNS, *others], restval="", lineterminator="\n")
    table.writeheader()
    for row in rows:
        table.writerow({name: _shortest(value) for name, value in row.items()})
    write_atomic(path, stream.getvalue())


def chosen_row(rows: Sequence[Row]) -> Row | None:
    """Return the row of the epoch whose weights were kept, None if there are no rows."""
    best = [row for row in _last_stage(rows) if row.get("best")]
    return best[-1] if best else rows[-1] if rows else None


def robust_overfitting(rows: Sequence[Row]) -> str:
    """Return a sentence if held-out robust accuracy fell significantly after its best epoch; else empty.

    Rice, Wong & Kolter 2020 (arXiv:2002.11569). The 95 % Wilson intervals of the best and the last epoch of
    the last stage must not overlap: stricter than a test at 5 %, because the best is the largest of many.

    Example:
        >>> row = {"validation_images": 1000.0}
        >>> rows = [row | {"epoch": 1.0, "validation_robust_accuracy": 0.5}]
        >>> rows.append(row | {"epoch": 2.0, "validation_robust_accuracy": 0.4})
        >>> print(robust_overfitting(rows).split(", ")[1])
        50.0 % after epoch 1
    """
    name = "validation_robust_accuracy"
    validations = [row for row in _last_stage(rows) if name in row and row.get("validation_images")]
    if not validations:
        return ""
    best, last = max(validations, key=lambda row: row[name]), validations[-1]
    if _interval(best, name)[0] <= _interval(last, name)[1]:
        return ""
    return (
        f"robust overfitting: {100 * last[name]:.1f} % of {last['validation_images']:.0f} held-out images "
        f"withstand the attack after epoch {last['epoch']:.0f}, {100 * best[name]:.1f} % after epoch "
        f"{best['epoch']:.0f}"
    )


def seconds_of(rows: Sequence[Row]) -> float | None:
    """Return the seconds of all epochs together, None if one of them was not measured or there are none."""
    seconds = [row["seconds"] for row in rows if "seconds" in row]
    return sum(seconds) if rows and len(seconds) == len(rows) else None


def unchanged_text(parameters: int) -> str:
    """Return the sentence that a training changed none of its parameters.

    Example:
        >>> unchanged_text(10)
        'the training changed none of 10 parameters'
    """
    return f"the training changed none of {counted(parameters, 'parameter')}"


def _last_stage(rows: Sequence[Row]) -> list[Row]:
    return [row for row in rows if row.get("stage") == rows[-1].get("stage")]


def _interval(row: Row, name: str) -> tuple[float, float]:
    count = round(row["validation_images"])
    return wilson(round(row[name] * count), count)


def _shortest(value: float) -> str:
    """Return the shortest text that reads back as the same number; integers without a point."""
    return str(int(value)) if float(value).is_integer() and abs(value) < 1e15 else repr(float(value))
