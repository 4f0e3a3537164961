"""Labels, checked once: class indices from 0, one per image."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from robench.data.arrays import own_array
from robench.errors import InputError
from robench.types import AnyLabels, Labels

if TYPE_CHECKING:
    from numpy.typing import NDArray

_LOG = logging.getLogger(__name__)

MOST_CLASSES = 1_000_000
"""No data set has so many classes; a larger label is an identity number or an overflow, not a class."""


def read_labels(
    labels: object, count: int, *, where: str, classes: Sequence[str] | int | None = None
) -> tuple[Labels, tuple[str, ...]]:
    """Return checked labels (N,) int64, copied, and the class names.

    Args:
        labels: integers of any width, (N,), a column (N, 1) or a row (1, N).
        count: how many images there are.
        where: the data set, for messages.
        classes: class names, or how many classes; by default as many as the labels show, with a warning if
            no label is 0.

    Raises:
        InputError: not numbers, one-hot, not integers, of another length than the images, or out of range.
    """
    values = _one_each(own_array(labels, where=where, what="labels"), count, where)
    _check_integers(values, where)
    high = int(values.max()) if values.size else 0
    if high >= MOST_CLASSES:
        row = int(values.argmax())
        do = "Number the classes from 0: `numpy.unique(labels, return_inverse=True)`"
        expected = f"class indices below {MOST_CLASSES}"
        raise InputError(where=where, expected=expected, got=f"{high} at image {row}", do=do)
    indices = torch.from_numpy(values.astype(np.int64, copy=False))
    names = _names(high + 1 if classes is None else classes, where)
    check_labels(indices, count, len(names), where=where)
    if classes is None and int(indices.min()) > 0:
        text = (
            "%s: labels count from 0 and none is 0 here (from %d to %d): subtract 1 if yours count from 1, %s"
        )
        rest = "else say how many classes there are: `classes` (--set dataset.options.classes=...)"
        _LOG.warning(text, where, int(indices.min()), high, rest)
    return indices, names


def check_labels(labels: AnyLabels, count: int, classes: int, *, where: str = "labels") -> None:
    """Refuse labels that are not class indices of these images.

    Raises:
        InputError: one-hot, not integers, of another length than the images, or out of range.
    """
    if labels.ndim == 2:
        raise _several(tuple(labels.shape), where)
    if labels.ndim != 1 or len(labels) != count:
        raise InputError(where=where, expected=f"{count} labels, one per image", got=str(tuple(labels.shape)))
    if labels.is_floating_point() or labels.is_complex() or labels.dtype == torch.bool:
        raise InputError(where=where, expected="integer labels", got=str(labels.dtype), do="Cast to int64")
    numbers = labels.long()
    wrong = (numbers < 0) | (numbers >= classes)
    if wrong.any():
        row, low, high = int(wrong.nonzero()[0]), int(numbers.min()), int(numbers.max())
        do = "Labels count from 0; check the number of classes"
        if (low, high) == (1, classes):
            do = f"Labels count from 0 and these from 1 to {classes}: subtract 1"
        elif bool((numbers.abs() == 1).all()) and low < high:
            do = "Labels count from 0: make 0 and 1 of -1 and 1, as `(labels + 1) // 2`"
        raise InputError(
            where=where,
            expected=f"labels from 0 to {classes - 1}",
            got=f"{int(numbers[row])} at image {row}",
            do=do,
        )


def _one_each(values: NDArray[Any], count: int, where: str) -> NDArray[Any]:
    """Return (N,): a column or a row is one label per image, two columns are not."""
    shape = values.shape
    if shape in ((count,), (count, 1), (1, count)):
        return values.reshape(-1)
    if len(shape) == 2 and shape[1] > 1 and shape[0] == count:
        raise _several(shape, where)
    do = ""
    if len(shape) == 2 and shape[0] > 1 and shape[1] == count:
        do = "Take argmax over the first axis if they are one-hot"
    elif values.size == count:
        do = "Use `labels.reshape(-1)`"
    got = f"shape {shape}" if shape else "a single number"
    raise InputError(where=where, expected=f"{count} labels, one per image, of shape (N,)", got=got, do=do)


def _several(shape: tuple[int, ...], where: str) -> InputError:
    return InputError(
        where=where,
        expected="labels as class indices of shape (N,)",
        got=f"shape {shape}, which looks one-hot",
        do="Take argmax over the last axis",
    )


def _check_integers(values: NDArray[Any], where: str) -> None:
    kind = values.dtype.kind
    if kind == "b":
        raise InputError(where=where, expected="integer labels", got="bool", do="Cast to int64")
    if kind == "f":
        faults = ~np.isfinite(values) | (values != np.floor(values))
        if faults.any():
            row = int(faults.argmax())
            got = f"{float(values[row]):g} at image {row}"
            do = "Labels are class indices: leave images without one out, and of scores take argmax"
        else:
            got, do = f"{values.dtype}", "They are whole numbers: cast to int64"
        raise InputError(where=where, expected="integer labels", got=got, do=do)


def _names(classes: Sequence[str] | int, where: str) -> tuple[str, ...]:
    if isinstance(classes, int | np.integer) and not isinstance(classes, bool):
        if not 1 <= classes <= MOST_CLASSES:
            raise InputError(where=where, expected=f"from 1 to {MOST_CLASSES} classes", got=str(classes))
        return tuple(str(i) for i in range(int(classes)))
    try:
        names = None if isinstance(classes, str | bytes | bool) else [*classes]
    except TypeError:
        names = None
    if not names or not all(isinstance(name, str) for name in names):
        raise InputError(where=where, expected="class names, or how many classes", got=repr(classes)[:80])
    return tuple(map(str, names))
