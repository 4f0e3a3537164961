"""The published evaluation: test and template images are one tensor, all of it perturbed.

Its public code pairs scores, labels and images of a batch of template and test rows. Rows are counted as
there: template rows first, `0 .. T-1`, then the test images.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from attacks.shared.options import finite_radius
from robench.errors import ConfigError

if TYPE_CHECKING:
    from robench.attack.oracle import Oracle
    from robench.model.interface import OutputKind
    from robench.types import Images, Labels, Outputs, PerSample


Pairing = Callable[["Outputs", "Labels"], tuple["Outputs", "Labels"]]
"""From scores (N, K) and labels (N,) by image to those whose loss is differentiated at each image."""


def own_rows(scores: Outputs, labels: Labels) -> tuple[Outputs, Labels]:
    """Return both unchanged, as in the evaluation code."""
    return scores, labels


def training_rows(scores: Outputs, labels: Labels) -> tuple[Outputs, Labels]:
    """Return the training code's rows: those that are misclassified first, then the others as exact one-hots.

    The images are not reordered, so the gradient of row k goes to another image than the one with this score;
    the gradient of a correct row does not depend on the model's confidence any more.
    """
    import torch
    import torch.nn.functional as F

    answers = scores.argmax(dim=1)
    wrong = answers != labels
    order = torch.cat([wrong.nonzero().squeeze(1), (~wrong).nonzero().squeeze(1)])
    sure = F.one_hot(answers, scores.shape[1]).to(scores.dtype)
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
        assert self._slope is not None  # the loss must be computed before its slope is read
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
        # Adds exactly zero, but lets the gradient flow back.
        return cross_entropy(scores[count:] + (outputs - outputs.detach()), labels[count:], kind)


def climb_as_published(
    oracle: Oracle,
    *,
    steps: int,
    step_size: float,
    pairing: Pairing,
    kind: OutputKind,
    perturb_template: bool,
) -> Images:
    """Return the last iterate of sign steps with a straight-through gradient, which also move the template.

    Each step computes u with the moved template, sends dL/du through the linear branch into both test and
    template images, and projects both on ball and box. The model's own template is not changed. The oracle
    keeps no point and keeps the batch whole, because the published code classifies the last point.

    For a model without neighbourhoods the cross-entropy of its own outputs is raised.

    Args:
        oracle: the way to the model.
        steps: how many steps.
        step_size: their length in input units, in the threat model's norm.
        pairing: which row's loss is differentiated at which image.
        kind: the kind of output that the loss assumes u to be; logits in the published code.
        perturb_template: whether a copy of the template moves at all.

    Raises:
        ConfigError: the radius is infinite, the goal targeted, or the model has neighbourhoods but no trained
            linear branch.
    """
    import torch

    from attacks.gradient.ifgsm import ascend
    from robench.attack.losses import cross_entropy
    from robench.attack.threat import Goal
    from robench.model.interface import GradientSource

    x, threat, around = oracle.x, oracle.threat, oracle.model.neighbourhood
    finite_radius(threat.eps, "the published evaluation")
    if threat.goal is Goal.TARGETED:
        raise ConfigError(where="goal", expected="untargeted, as published", got="targeted")
    oracle.track, oracle.batch_size = False, max(len(x), 1)
    if around is None:
        return ascend(oracle, x, loss=cross_entropy, steps=steps, step_size=step_size)
    if around.linear is None:
        raise ConfigError(
            where=f"model {oracle.model.name!r}",
            expected="a trained linear branch to send the gradient through",
            got="none",
            do="Attack it with graph_adaptive, or train the network",
        )
    linear = around.linear
    memory = around.memory()
    copy, points = memory.images, memory.points
    loss = PublishedLoss(memory.labels, pairing)

    def through_copy(images: Images) -> tuple[Outputs, Outputs]:
        z = around.features(images)
        u = around.classify(z.detach(), points)
        logits = linear(z)
        return u.to(logits.dtype) + (logits - logits.detach()), u

    source = GradientSource("published", through_copy, kind)
    each = -(-len(copy) // len(x))  # passes of the template, in passes per test image
    point = x
    for _ in range(steps):
        if oracle.finished or (perturb_template and not bool(oracle.affords(2 + 2 * each).all())):
            break
        if not perturb_template:
            gradient = oracle.gradient(loss, point, source=source)
        else:
            with torch.enable_grad():
                leaf = copy.detach().requires_grad_(True)
                z = around.features(leaf)
                logits = linear(z)
            points = z.detach()
            gradient = oracle.gradient(loss, point, source=source)
            (pull,) = torch.autograd.grad(logits, leaf, grad_outputs=loss.slope)
            copy = threat.project(memory.images, copy + step_size * threat.norm.ascent(pull))
            oracle.charge(forwards=each, backwards=each)
        point = threat.project(x, point + step_size * threat.norm.ascent(gradient))
    return point
