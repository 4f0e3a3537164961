"""Does a network give one answer to every image?

On data with many images of one class that answer is often right, and no attack can change what the network
never decides: a high number that says nothing.
"""

from __future__ import annotations

import torch

from robench.plurals import counted
from robench.record.schema import Finding
from robench.types import Labels

NEARLY_ALL = 0.99
"""Share of the images with the same answer from which a network answers nothing else."""

FEWEST, LEAST = 5, 0.02
"""Fewer images of other classes, or a smaller share, may all be wrong by chance."""


def one_answer(answers: Labels, labels: Labels) -> Finding | None:
    """Return `one-answer` if nearly all answers are one class, and enough images are of another.

    Args:
        answers: class that the model gave each clean image (N,); negative for none.
        labels: true class of each (N,).
    """
    answers, labels = answers.cpu(), labels.cpu()
    count = len(answers)
    if not count:
        return None
    classes, sizes = torch.unique(answers, return_counts=True)
    commonest, most = int(classes[sizes.argmax()]), int(sizes.max())
    others = int((labels != commonest).sum())
    if commonest < 0 or most < NEARLY_ALL * count or others < max(FEWEST, LEAST * count):
        return None
    return Finding(
        code="one-answer",
        evidence=f"it answers class {commonest} for {most} of {counted(count, 'image')}, of which {others} "
        "are of other classes",
        remedy="It decides nothing: look at its training (classes of unlike sizes, a learning rate that is "
        "too large), or at its weights; and evaluate on as many images of each class",
    )
