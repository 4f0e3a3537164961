"""How the authors' public code pairs scores, labels and images of a batch of template and test rows.

Rows are counted as there: template rows first, `0 .. T-1`, then the test images.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from robench.model.interface import OutputKind
    from robench.types import Labels, Outputs, PerSample

Pairing = Callable[["Outputs", "Labels"], tuple["Outputs", "Labels"]]
"""Scores (N, K) and labels (N,) by image, to those whose loss is differentiated at each image."""


def own_rows(scores: Outputs, labels: Labels) -> tuple[Outputs, Labels]:
    """Return everything as it is: the evaluation code."""
    return scores, labels


def training_rows(scores: Outputs, labels: Labels) -> tuple[Outputs, Labels]:
    """Return the training code's rows: those that are misclassified first, then the others as exact one-hots.

    The images keep their places, so that the gradient of row k there is sent into another image than the one
    whose score it is; that of a correct row no longer depends on how sure the model was.
    """
    import torch
    import torch.nn.functional as F

    predicted = scores.argmax(dim=1)
    wrong = predicted != labels
    order = torch.cat([wrong.nonzero().squeeze(1), (~wrong).nonzero().squeeze(1)])
    sure = F.one_hot(predicted, scores.shape[1]).to(scores.dtype)
    return torch.where(wrong[:, None], scores, sure)[order], labels[order]


class PublishedLoss:
    """Cross-entropy over template and test rows, with the slopes at the template's rows beside it.

    A `robench.attack.Loss` for whole batches: what it returns for image k is the loss of the row that the
    pairing puts there, differentiable as if it were the image's own score.

    Args:
        template: labels (T,) of the template; u is an exact one-hot at its rows.
        pairing: which row's loss is differentiated at which image.
    """

    def __init__(self, template: Labels, pairing: Pairing) -> None:
        self._template, self._pairing = template, pairing
        self._slope: Outputs | None = None

    @property
    def slope(self) -> Outputs:
        """dL/d(logits) (T, K) at the template's images, of the last call."""
        assert self._slope is not None  # there is no slope of a loss that was never asked for
        return self._slope

    def __call__(self, outputs: Outputs, y: Labels, kind: OutputKind) -> PerSample:
        """Return the loss (B,) of test images with outputs (B, K) and labels (B,); keep the other slopes."""
        import torch
        import torch.nn.functional as F

        from robench.attack.losses import cross_entropy

        count = len(self._template)
        one_hot = F.one_hot(self._template, outputs.shape[1]).to(outputs.dtype)
        scores, labels = self._pairing(torch.cat([one_hot, outputs.detach()]), torch.cat([self._template, y]))
        leaf = scores[:count].clone().requires_grad_(True)
        with torch.enable_grad():
            losses = cross_entropy(leaf, labels[:count], kind)
            (self._slope,) = torch.autograd.grad(losses.sum(), leaf)
        # Adds exactly zero, and the way back.
        return cross_entropy(scores[count:] + (outputs - outputs.detach()), labels[count:], kind)
