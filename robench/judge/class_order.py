"""Do the network's outputs stand for the classes of the data in another order?

Folders are sorted by name (`10` before `2`), data sets are published with different orders, and some labels
count from 1. Nothing fails then; the network names images of some classes wrong, and attacks have nothing to
do there. So if it names many images wrong, the order of classes that would make most of them right is looked
for on one half of the images and tried on the other.
"""

from __future__ import annotations

import torch
from torch import Tensor

from robench.plurals import counted
from robench.record.measures.statistics import mcnemar
from robench.record.schema import Finding
from robench.types import Labels

FEWEST = 40
MOST_CLASSES = 2000
"""Among fewer images, or for more classes, no order is looked for."""

GAIN = 0.1
"""Smallest gain in accuracy that is reported."""

MENDED = 0.2
"""Smallest share of the wrong images that the order must mend: others the network itself names wrong."""

CHANCE = 1e-3
"""Largest probability of such a gain by luck (McNemar's test)."""

MOST_NAMED = 5
"""Most classes that the evidence names."""


def class_order(answers: Labels, labels: Labels, classes: int) -> Finding | None:
    """Return `class-order` if another order of the classes makes many more answers right.

    Args:
        answers: class that the model gave each clean image (N,); negative, or `classes`, for none.
        labels: true class of each (N,).
        classes: number of classes.

    Returns:
        The finding, or None: fewer than `FEWEST` images, or no order helps that much beyond luck.
    """
    answers, labels = answers.cpu(), labels.cpu()
    count, right = len(labels), answers == labels
    wrong = int((~right).sum())
    least = max(GAIN * count, MENDED * wrong)
    if count < FEWEST or classes > MOST_CLASSES or wrong < least:
        return None
    if _at_best(answers, labels, classes) - int(right.sum()) < least:
        return None
    half = torch.arange(count) % 2 == 0
    right_then = torch.zeros_like(right)
    for part in (half, ~half):
        order = _best_order(answers[part], labels[part], classes)
        right_then[~part] = _reordered(answers[~part], order, classes) == labels[~part]
    more, fewer = int((right_then & ~right).sum()), int((right & ~right_then).sum())
    if more - fewer < least or mcnemar(more, fewer) >= CHANCE:
        return None
    order = _best_order(answers, labels, classes)
    return Finding(
        code="class-order",
        evidence=f"it names {int(right.sum())} of {counted(count, 'image')} right, and "
        f"{int(right_then.sum())} if {_words(order)} (found on one half of the images, counted on the other)",
        remedy="Declare `class_map` (for each class of the data, the output that stands for it), or number "
        "the classes as in the network's training",
    )


def _confusion(answers: Labels, labels: Labels, classes: int) -> Tensor:
    """Return how often each class was named (rows) where each was true (columns)."""
    valid = (answers >= 0) & (answers < classes)
    pairs = answers[valid] * classes + labels[valid]
    return torch.bincount(pairs, minlength=classes * classes).view(classes, classes)


def _at_best(answers: Labels, labels: Labels, classes: int) -> int:
    """Return a bound on the images that any order makes right; it needs no optimizer."""
    return int(_confusion(answers, labels, classes).amax(dim=1).sum())


def _best_order(answers: Labels, labels: Labels, classes: int) -> Tensor:
    """Return the class that each output should stand for (K,): as many images right as possible.

    Where the images do not decide, an output keeps its class.
    """
    from scipy.optimize import linear_sum_assignment  # half a second: only for networks that are often wrong

    gains = _confusion(answers, labels, classes).double()
    gains += torch.eye(classes, dtype=gains.dtype) / (2 * classes)  # less than one image in all
    _, columns = linear_sum_assignment(gains.numpy(), maximize=True)
    return torch.from_numpy(columns)


def _reordered(answers: Labels, order: Tensor, classes: int) -> Labels:
    valid = (answers >= 0) & (answers < classes)
    return order[answers.clamp(0, classes - 1)].where(valid, answers)


def _words(order: Tensor) -> str:
    moves = [(int(k), int(order[k])) for k in (order != torch.arange(len(order))).nonzero().flatten()]
    shifts = {(new - old) % len(order) for old, new in moves}
    if len(moves) == len(order) and len(shifts) == 1:
        return f"{shifts.pop()} is added to the number of its output (modulo {len(order)})"
    if len(moves) == 2:
        return f"outputs {moves[0][0]} and {moves[1][0]} are exchanged"
    pairs = ", ".join(f"{old} for class {new}" for old, new in moves[:MOST_NAMED])
    more = f" and {len(moves) - MOST_NAMED} more" if len(moves) > MOST_NAMED else ""
    return f"its outputs stand otherwise: {pairs}{more}"
