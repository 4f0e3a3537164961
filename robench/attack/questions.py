"""Evaluations of a model: single passes, and what their answers mean to an attacker."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from robench.attack.losses import Loss, margin, scores, without_rejection
from robench.attack.norms import per_image
from robench.attack.threat import Goal
from robench.model.interface import NOT_FINITE, GradientSource, Model, predictions
from robench.types import Images, Labels, LabelsOrPairs, Mask, Outputs, PerSample, Values


@dataclass(frozen=True, slots=True)
class GradientAnswer:
    """The answers for b images whose gradient was computed.

    Attributes:
        source: name of the gradient source whose loss was differentiated; empty for its scores.
        own: the model's own outputs (b, columns).
        predicted: the class (b,) that the gradient source predicts; None if the source is the model itself.
        value: what was differentiated, (b,), or (b, K) scores.
        gradient: its gradient, (b, C, H, W), or (b, K, C, H, W); zero where it is not finite.
        finite: (b,) whether the computed gradient is finite.
        zero: (b,) whether the computed gradient is zero everywhere; not where it was replaced by zero.
    """

    source: str
    own: Outputs
    predicted: Labels | None
    value: Tensor
    gradient: Tensor
    finite: Mask
    zero: Mask


@dataclass(frozen=True, slots=True)
class Questions:
    """Evaluates a model at points (b, C, H, W) in one pass, and reads its answers as an attacker does.

    It does not know earlier evaluations and counts nothing.

    Attributes:
        model: the model under attack.
        goal: decides what success is, and whether a loss is to be raised or lowered.
    """

    model: Model
    goal: Goal

    @property
    def sign(self) -> float:
        """1, or -1 under a targeted goal, so that a larger loss always helps the attacker."""
        return -1.0 if self.goal is Goal.TARGETED else 1.0

    def own(self, points: Images) -> Outputs:
        """Return the model's own outputs (b, columns), without a gradient."""
        with torch.no_grad():
            outputs: Outputs = self.model.net(points)
        return outputs

    def gradient(
        self, source: GradientSource, loss: Loss, points: Images, y: LabelsOrPairs
    ) -> GradientAnswer:
        """Compute the gradient of a loss of the source's outputs and the labels y (b,), or pairs (b, 2)."""
        leaf = points.detach().requires_grad_(True)
        with torch.enable_grad():
            surrogate, own = source.surrogate(leaf)
            losses = self.sign * loss(surrogate, y, source.output)
            gradient = _gradient(losses, leaf)
        classes = None
        if surrogate is not own:
            classes = predictions(surrogate.detach()[:, : self.model.classes], source.output)
        return _answer(source.name, own, classes, losses, gradient)

    def score_gradients(self, source: GradientSource, points: Images) -> GradientAnswer:
        """Compute the scores of the source's outputs, and the gradient of each."""
        leaf = points.detach().requires_grad_(True)
        with torch.enable_grad():
            surrogate, own = source.surrogate(leaf)
            columns = scores(surrogate, source.output).unbind(dim=1)
            gradient = torch.stack([_gradient(column, leaf, keep=True) for column in columns], dim=1)
        return _answer("", own, None, torch.stack(columns, dim=1), gradient)

    def reached(self, predicted: Labels, y: Labels) -> Mask:
        """Tell whether predictions (b,) are what the attacker wants; see `reached`."""
        target = y if self.goal is Goal.TARGETED else None
        return reached(self.model, predicted, y, target)

    def scores(self, own: Outputs, y: Labels) -> Values:
        """Return the model's outputs (b, K) as the attacker sees them, with a rejection included in them."""
        if not self.model.rejects:
            return own
        return without_rejection(own, y, targeted=self.goal is Goal.TARGETED)

    def lead(self, own: Outputs, y: Labels) -> PerSample:
        """Return the lead (b,) of the answer that the attacker wants."""
        lead = margin(self.scores(own, y), y, self.model.output)
        return -lead if self.goal is Goal.TARGETED else lead

    def relative_lead(self, own: Outputs, y: Labels) -> PerSample:
        """Return the lead relative to the largest output, (b,); -inf where the goal is not reached."""
        scale = own.where(torch.isfinite(own), 0.0).abs().amax(dim=1).clamp_min(torch.finfo(own.dtype).tiny)
        return (self.lead(own, y) / scale).where(self.reached(predictions(own), y), -torch.inf)


def reached(
    model: Model, answers: Int[Tensor, "... B"], y: Labels, target: Labels | None
) -> Bool[Tensor, "... B"]:
    """Tell which answers (..., B) are what an attacker wants, (..., B). The judge uses the same rule.

    NaN and a rejection are neither the right answer nor what an attacker wants. A tie is not the right
    answer, so it is a success for an attacker without a target; a tie never counts as the target.

    Args:
        model: the model that answered.
        answers: classes (..., B) as `robench.model.predictions` gives them.
        y: true labels (B,); not read where there are targets.
        target: target classes (B,) under a targeted goal, else None.
    """
    if target is not None:
        return answers == target
    return (answers != y) & (answers != NOT_FINITE) & (answers < model.classes)


def _answer(
    source: str, own: Outputs, classes: Labels | None, value: Tensor, gradient: Tensor
) -> GradientAnswer:
    largest = gradient.flatten(1).abs().amax(dim=1)  # NaN if any entry is NaN
    finite, zero = torch.isfinite(largest), largest == 0
    if not finite.all():
        gradient = gradient.where(per_image(finite, gradient), torch.zeros_like(gradient))
    return GradientAnswer(source, own.detach(), classes, value.detach(), gradient, finite, zero)


def _gradient(losses: PerSample, point: Images, *, keep: bool = False) -> Images:
    """Return the gradient at `point`; zero if the output does not depend on `point`, as after a detach.

    With `keep` the graph stays for another gradient of the same pass.
    """
    if not losses.requires_grad:
        return torch.zeros_like(point)
    (gradient,) = torch.autograd.grad(losses.sum(), point, allow_unused=True, retain_graph=keep)
    return torch.zeros_like(point) if gradient is None else gradient.detach()
