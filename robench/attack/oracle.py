"""The only way from an attack to a model: it evaluates, counts, keeps the best point, skips broken images."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from jaxtyping import Float
from torch import Tensor

from robench.attack.attack_state import AttackState
from robench.attack.ledger import ALL, Rows
from robench.attack.losses import Loss
from robench.model.interface import GradientSource, predictions
from robench.types import Images, LabelsOrPairs, Mask, Outputs, PerSample, RowNumbers


class Oracle(AttackState):
    """Answers an attacker's questions about one batch of images.

    It is three things: questions to the model (`Questions`), asked for the images that still get passes; a
    memory of the best points (`BestPoints`); and a ledger of costs and findings (`Ledger`). The last two, and
    what an attack declares of itself, are its `AttackState`, which also documents the arguments.
    """

    __slots__ = ()

    def gradient(
        self,
        loss: Loss,
        x_adv: Images,
        y: LabelsOrPairs | None = None,
        *,
        source: GradientSource | None = None,
    ) -> Images:
        """Return the gradient of the per-sample loss at `x_adv`, (B, C, H, W); see `value_and_gradient`."""
        return self.value_and_gradient(loss, x_adv, y, source=source)[1]

    def value_and_gradient(
        self,
        loss: Loss,
        x_adv: Images,
        y: LabelsOrPairs | None = None,
        *,
        source: GradientSource | None = None,
    ) -> tuple[PerSample, Images]:
        """Return the per-sample loss (B,) and its gradient (B, C, H, W) at `x_adv`.

        Images that are not active get loss -inf and a zero gradient, and cost nothing. Under a targeted goal
        the sign is reversed, so that a larger loss always helps the attacker. Gradients that are not finite
        are returned as zero and noted in the ledger.

        Args:
            loss: what to differentiate.
            x_adv: where, (B, C, H, W).
            y: labels (B,) or pairs (B, 2) for the loss; those of the oracle by default.
            source: what to differentiate instead of the model; the oracle's own source by default. Only for
                attacks that choose their sources themselves (`AttackInfo.own_source`).
        """
        source = source or self._source
        labels = self.y if y is None else y
        gradient: Images | None = None  # allocated only if some image is not evaluated
        value: PerSample | None = None
        for rows in self._chunks(source.forwards + source.backwards):
            points = x_adv[rows]
            answer = self._questions.gradient(source, loss, points, labels[rows])
            passes = {"forwards": source.forwards, "backwards": source.backwards}
            self.note_answers(rows, points, answer.own, gradient=answer, **passes)
            if isinstance(rows, slice):
                gradient, value = answer.gradient, answer.value
            else:
                gradient = gradient if gradient is not None else self._no_gradient()
                value = value if value is not None else self._no_value()
                placed(answer.gradient, rows, gradient)
                placed(answer.value, rows, value)
        gradient = gradient if gradient is not None else self._no_gradient()
        value = value if value is not None else self._no_value()
        self.follow_ascent(value)
        return value, gradient

    def score_gradients(self, x_adv: Images) -> tuple[Outputs, Float[Tensor, "B K C H W"]]:
        """Return the scores (B, K) of the source and the gradient (B, K, C, H, W) of each, by 1 + K passes.

        Scores are logits or log-probabilities; of a simplex point the logarithm is taken. Images that are not
        active, or have no budget left for all passes, get NaN scores and zero gradients and cost nothing.
        Rows of the gradient that are not finite are set to zero.
        """
        classes, source = self.model.classes, self._source
        scores = x_adv.new_full((len(x_adv), classes), torch.nan)
        gradients = x_adv.new_zeros((len(x_adv), classes, *x_adv.shape[1:]))
        for rows in self._chunks(source.forwards + classes * source.backwards):
            points = x_adv[rows]
            answer = self._questions.score_gradients(source, points)
            backwards = classes * source.backwards
            self.note_answers(
                rows, points, answer.own, forwards=source.forwards, backwards=backwards, gradient=answer
            )
            scores[rows], gradients[rows] = answer.value.to(scores.dtype), answer.gradient
        return scores, gradients

    def value(self, loss: Loss, x_adv: Images) -> PerSample:
        """Return the per-sample loss (B,) of the model's own outputs, by one forward pass.

        Under a targeted goal the sign is reversed; inactive images and NaN losses have -inf.
        """
        active = self.active
        value = self._questions.sign * loss(self.outputs(x_adv), self.y, self.model.output)
        return value.where(active & ~value.isnan(), -torch.inf)

    def outputs(self, x_adv: Images) -> Outputs:
        """Return the model's own outputs (B, K) at `x_adv`; inactive images get NaN rows and cost nothing.

        If the model may reject an image, they are `losses.without_rejection`, as the attacker sees them.
        """
        outputs = self.x.new_full((len(self.x), self.model.classes), torch.nan)
        for rows in self._chunks(self.model.forwards):
            own = self._ask(rows, x_adv[rows])
            outputs = placed(self._questions.scores(own, self.y[rows]), rows, outputs)
        return outputs

    def successful(self, x_adv: Images) -> Mask:
        """Tell which points reach the attacker's goal, by one forward pass; (B,). Inactive images: False."""
        active = self.active
        answers = predictions(self.outputs(x_adv), self.model.output)
        return self._questions.reached(answers, self.y) & active

    def lead(self, rows: RowNumbers, points: Images) -> PerSample:
        """Return the lead (b,) of the answer the attacker wants, relative to the image's largest output.

        One forward pass for points (b, C, H, W) of these rows (b,); -inf where the goal is not reached.
        """
        self._book(rows, forwards=self.model.forwards)
        return self._questions.relative_lead(self._questions.own(points), self.y[rows])

    def proposal(self, last: Images) -> Images:
        """Return what the attack proposes for each image: its last point, or a better one seen before.

        An image keeps `last` (the strongest for transfer) if its last point is adversarial or if no point
        was. If an earlier point was adversarial and the last is not, the stored point is returned. The pass
        for this check is made only on images where it can change the answer. For a joint batch the whole
        batch of the step that broke the most images is returned.
        """
        self.ledger.deceived = self._sources.deceived
        own = self.declarations
        if not self.track or own.points_belong_together:
            return last
        if self._joint:
            self.outputs(last)
            return self.best_points.joint_proposal(last, self.ledger, is_library_attack=own.is_library_attack)
        if own.is_library_attack:
            mask = self.broken
        else:
            mask = self.broken & self._active(self.model.forwards) & (not own.minimise)
        if bool(mask.any()):  # also images that are not active
            for part in torch.split(mask.nonzero().squeeze(1), self.batch_size):
                self._ask(part, last[part])
        if own.has_unassigned_points:
            for column in (self.ledger.points, self.ledger.first_success, self.ledger.first_passes):
                column.zero_()
        return self.best_points.proposal(last, mask, self.ledger, is_library_attack=own.is_library_attack)

    def _no_gradient(self) -> Images:
        return torch.zeros_like(self.x)

    def _no_value(self) -> PerSample:
        return torch.full_like(self.best_size, -torch.inf)

    def _ask(self, rows: Rows, points: Images) -> Outputs:
        own = self._questions.own(points)
        self.note_answers(rows, points, own, forwards=self.model.forwards)
        return own

    def _chunks(self, cost: int) -> Iterator[Rows]:
        """Yield the rows of the images that still get passes, and have budget left for so many."""
        return chunks(self._active(cost), self.batch_size)


def chunks(asked: Mask, size: int) -> Iterator[Rows]:
    """Yield the rows of the images (B,) to evaluate, at most `size` at a time."""
    if bool(asked.all()) and len(asked) <= size:
        if len(asked):
            yield ALL
    elif bool(asked.any()):
        yield from torch.split(asked.nonzero().squeeze(1), size)


def placed(part: torch.Tensor, rows: Rows, batch: torch.Tensor) -> torch.Tensor:
    """Return the batch with `part` at its rows, in the batch's type; `part` itself if it has all rows."""
    if isinstance(rows, slice):
        return part
    batch[rows] = part.to(batch.dtype)
    return batch
