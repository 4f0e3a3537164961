"""The only road from an attack to a model: it asks, counts, remembers the best point, spares what is done."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor

from robench.attack.best_points import BestPoints
from robench.attack.ledger import Ledger, Rows
from robench.attack.loss_progress import FooledSources, LossProgress
from robench.attack.losses import Loss
from robench.attack.questions import ALL, GradientAnswer, Questions, chunks, placed
from robench.attack.threat import ThreatModel
from robench.model.interface import NOT_FINITE, Coupling, GradientSource, Model, predictions
from robench.types import Images, Labels, LabelsOrPairs, Mask, Outputs, PerSample


@dataclass(slots=True)
class Oracle:
    """Answers an attacker's questions about one batch of images.

    It asks the model (`Questions`), counts (`Ledger`, `LossProgress`, `FooledSources`), and remembers
    (`BestPoints`).

    Args:
        model: the model under attack.
        x: clean images (B, C, H, W); an attack reads them and must not write to them.
        y: labels (B,), or targets under a targeted goal; to be read as x is.
        threat: decides which points are admissible and what success is.
        source: the gradient source to differentiate; the model's first one by default.
        drop: stop spending on an image once an admissible adversarial point of it was seen. Only sound when
            nothing but this model's verdict is wanted; refused (set to False) for a joint batch.
        minimise: remember the smallest adversarial point instead of the first.
        track: watch for success at all; off inside adversarial training, where only gradients matter.
        batch_size: most images per pass; a joint model always sees the whole batch.
        confidence: score margin by which a point worth remembering should reach the goal, set by attacks that
            want confident points; where none has it, the smallest that reaches the goal is remembered.
        least_lead: the same, relative to the largest lead, of either side, met of the image: set by attacks
            that want points of which another rounding says the same, whatever scores are multiplied by.
        points_belong_together: set by attacks that look for one answer for all images, such as a universal
            perturbation: no image is dropped, and the last points are proposed as they are, never mixed with
            earlier ones.
        on_passes: called with the number of passes just made, each on one image; None for nobody.

    Attributes:
        is_library_attack: set where a library attacks. Its own points are proposed, and one it met earlier
            only where that broke an image and the one it returned does not.
        has_unassigned_points: set where a library asked about points that cannot be assigned to images: how
            many it tried, and when one broke an image, is then not known.
        reached: (B,) whether the model's own answer, when last asked about each image, was what the attacker
            wants, be the point admissible or not.
        ledger: what was spent and met.
        progress: how the loss rose.
        best_points: the best points met.
    """

    model: Model
    x: Images
    y: Labels
    threat: ThreatModel
    source: GradientSource | None = None
    drop: bool = False
    minimise: bool = False
    track: bool = True
    batch_size: int = 250
    confidence: float = 0.0
    least_lead: float = 0.0
    points_belong_together: bool = False
    on_passes: Callable[[int], None] | None = None
    is_library_attack: bool = field(init=False, default=False)
    has_unassigned_points: bool = field(init=False, default=False)
    reached: Mask = field(init=False)
    ledger: Ledger = field(init=False)
    progress: LossProgress = field(init=False)
    best_points: BestPoints = field(init=False)
    _fooled: FooledSources = field(init=False)
    _questions: Questions = field(init=False)
    _starts: int = field(init=False, default=0)
    _only: Mask | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        """Start with nothing spent and nothing found."""
        count, device = len(self.x), self.x.device
        self.source = self.source or next(iter(self.model.sources.values()))
        if self._joint:
            self.drop = False
            self.batch_size = max(count, 1)
        if self.minimise and not self.threat.bounded:
            self.drop = False  # the first adversarial point is not the smallest
        self.reached = torch.zeros(count, dtype=torch.bool, device=device)
        self.ledger = Ledger.empty(count, device)
        self.progress, self._fooled = LossProgress(count, device), FooledSources(count, device)
        self.best_points = BestPoints(
            self.x, self.threat, minimise=self.minimise, joint=self._joint, track=self.track
        )
        self._questions = Questions(self.model, self.threat.goal)

    @property
    def broken(self) -> Mask:
        """Which images (B,) an admissible adversarial point was met of."""
        return self.best_points.broken

    @property
    def best(self) -> Images:
        """The best one (B, C, H, W), the clean image where none was met."""
        return self.best_points.points

    @property
    def best_size(self) -> PerSample:
        """Size (B,) of the smallest one, where the attack minimises; infinite where none was met."""
        return self.best_points.size

    @property
    def active(self) -> Mask:
        """Which images still get passes: not yet broken (where dropping is on) and within budget."""
        return self._active(1)

    @property
    def finished(self) -> bool:
        """Whether no image is active any more, so that the attack may stop."""
        return (self.drop or self.threat.budget is not None) and not bool(self.active.any())

    def begin_try(self) -> None:
        """Say that a fresh start begins, such as a restart, so that the ledger can tell which one succeeded.

        An attack that never says so makes one try. In a cascade the tries of all its attacks are counted on.
        """
        self._starts += 1

    @contextmanager
    def only(self, rows: Mask) -> Iterator[None]:
        """Inside the block only these images (B,) are asked about; the others are inactive and cost nothing.

        A joint batch is always asked whole: for it the block changes nothing.
        """
        before = self._only
        if not self._joint:
            self._only = rows if before is None else before & rows
        try:
            yield
        finally:
            self._only = before

    @contextmanager
    def ascent(self) -> Iterator[None]:
        """Say that the gradients asked for inside the block are the steps of one ascent of one loss.

        That is what allows to tell whether it has converged (see `LossProgress`); an attack that climbs
        nothing, or more than one thing at a time, does not say so and is not judged by it.
        """
        self.progress.begin()
        try:
            yield
        finally:
            self.progress.end()
            self.ledger.rise, self.ledger.late_rise = self.progress.rise, self.progress.late_rise

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
        the sign is turned, so that going up always helps the attacker. Gradients that are not finite are
        returned as zero and noted in the ledger.

        Args:
            loss: what to differentiate.
            x_adv: where, (B, C, H, W).
            y: labels (B,) or pairs (B, 2) for the loss; those of the oracle by default.
            source: what to differentiate in place of the model; the oracle's own source by default. Only for
                attacks that choose their sources themselves (`AttackInfo.own_source`).
        """
        source = source or self._source
        labels = self.y if y is None else y
        gradient: Images | None = None  # made where an image is not asked about
        value: PerSample | None = None
        for rows in self._chunks(source.forwards + source.backwards):
            points = x_adv[rows]
            answer = self._questions.gradient(source, loss, points, labels[rows])
            passes = {"forwards": source.forwards, "backwards": source.backwards}
            self.note_answers(rows, points, answer.own, gradient=answer, **passes)
            if self.track:
                deceptions = None  # where what is differentiated was fooled, and the model behind it was not
                if answer.predicted is not None:
                    successes = self._questions.reached(answer.predicted, self.y[rows])
                    successes &= ~self.best_points.last_success[rows]
                    deceptions = self.best_points.admissible(rows, points, successes)
                self._fooled.compare(source.name, rows, deceptions)
            if isinstance(rows, slice):
                gradient, value = answer.gradient, answer.value
            else:
                gradient = gradient if gradient is not None else self._no_gradient()
                value = value if value is not None else self._no_value()
                placed(answer.gradient, rows, gradient)
                placed(answer.value, rows, value)
        gradient = gradient if gradient is not None else self._no_gradient()
        value = value if value is not None else self._no_value()
        self.progress.follow(value)
        return value, gradient

    def score_gradients(self, x_adv: Images) -> tuple[Outputs, Tensor]:
        """Return the scores (B, K) of the source and the gradient (B, K, C, H, W) of each, by 1 + K passes.

        Scores are logits or log-probabilities; of a simplex point the logarithm is taken. Images that are not
        active, or have no budget left for all passes, get NaN scores and zero gradients and cost nothing.
        Rows that are not finite are zero.
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

        Under a targeted goal the sign is turned; inactive images and losses that are no number have -inf.
        """
        active = self.active
        value = self._questions.sign * loss(self.outputs(x_adv), self.y, self.model.output)
        return value.where(active & ~value.isnan(), -torch.inf)

    def outputs(self, x_adv: Images) -> Outputs:
        """Return the model's own outputs (B, K) at `x_adv`; inactive images get NaN rows and cost nothing.

        Of a model that may reject an image they are `losses.without_rejection`, as the attacker sees them.
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

    def lead(self, rows: torch.Tensor, points: Images) -> PerSample:
        """Return by how much what the attacker wants leads, (b,), relative to the image's largest output.

        One forward pass for points (b, C, H, W) of these rows (b,); -inf where the goal is not reached.
        """
        self._book(rows, forwards=self.model.forwards)
        return self._questions.relative_lead(self._questions.own(points), self.y[rows])

    def note_answers(
        self,
        rows: Rows,
        points: Images,
        own: Outputs,
        *,
        forwards: int = 0,
        backwards: int = 0,
        gradient: GradientAnswer | None = None,
    ) -> None:
        """Note one question in one go: keep the best points, and book all of it.

        Args:
            rows: about which images.
            points: (b, C, H, W).
            own: the model's own outputs (b, columns) there.
            forwards: passes on each image; 0 where others book them.
            backwards: the same.
            gradient: the answer, where a gradient was asked for.
        """
        answers = predictions(own)
        successes = self._questions.reached(answers, self.y[rows])
        self.reached[rows] = successes
        first: torch.Tensor | None = None
        if self.track:
            confident = self._confident(rows, own) if self.minimise else None
            first = self.best_points.meet(rows, points, successes, confident)
        if forwards or backwards:
            self.ledger.book(rows, forwards=forwards, backwards=backwards)
        if gradient is not None:
            self.ledger.note_gradient(rows, finite=gradient.finite, zero=gradient.zero)
        if first is not None:
            start = max(self._starts, 1)
            self.ledger.note_points(rows, start=start, nonfinite=answers == NOT_FINITE, first=first)
        if (forwards or backwards) and self.on_passes is not None:
            self.on_passes(len(points) * (forwards + backwards))

    def charge(self, *, forwards: int, backwards: int) -> None:
        """Book passes on the whole batch, each so many per image."""
        self._book(ALL, forwards=forwards, backwards=backwards)

    def proposal(self, last: Images) -> Images:
        """Return what the attack has to show for each image: its last point, or a better one seen before.

        An image whose last point is adversarial, or of which no point was, keeps `last` (the strongest for
        transfer); one that was adversarial on the way but not at the end gets the point remembered. The
        pass this takes is spent only on images where it can change the answer. Of a joint batch the whole
        batch of the step that broke the most images is returned.
        """
        self.ledger.deceived = self._fooled.deceived & ~self.broken
        if not self.track or self.points_belong_together:
            return last
        if self._joint:
            self.outputs(last)
            return self.best_points.joint_proposal(
                last, self.ledger, is_library_attack=self.is_library_attack
            )
        if self.is_library_attack:
            mask = self.broken
        else:
            mask = self.broken & self._active(self.model.forwards) & (not self.minimise)
        if bool(mask.any()):  # whoever else is active
            for part in torch.split(mask.nonzero().squeeze(1), self.batch_size):
                self._ask(part, last[part])
        if self.has_unassigned_points:
            for column in (self.ledger.points, self.ledger.first_success, self.ledger.first_passes):
                column.zero_()
        return self.best_points.proposal(last, mask, self.ledger, is_library_attack=self.is_library_attack)

    def _no_gradient(self) -> Images:
        return torch.zeros_like(self.x)

    def _no_value(self) -> PerSample:
        return torch.full_like(self.best_size, -torch.inf)

    def _ask(self, rows: Rows, points: Images) -> Outputs:
        own = self._questions.own(points)
        self.note_answers(rows, points, own, forwards=self.model.forwards)
        return own

    def _book(self, rows: Rows, *, forwards: int = 0, backwards: int = 0) -> None:
        self.ledger.book(rows, forwards=forwards, backwards=backwards)
        if self.on_passes is not None:
            images = len(self.x) if isinstance(rows, slice) else len(rows)
            self.on_passes(images * (forwards + backwards))

    @property
    def _source(self) -> GradientSource:
        assert self.source is not None  # set in __post_init__
        return self.source

    @property
    def _joint(self) -> bool:
        return self.model.coupling is Coupling.JOINT

    def affords(self, cost: int) -> Mask:
        """Tell which images (B,) have budget left for so many passes; all have where there is no budget."""
        if self.threat.budget is None:
            return torch.ones_like(self.broken)
        return self.ledger.forwards + self.ledger.backwards + cost <= self.threat.budget

    def _active(self, cost: int) -> Mask:
        """Tell which images (B,) still get passes, and have budget left for so many."""
        drops = self.drop and not self.points_belong_together
        active = ~self.broken if drops else torch.ones_like(self.broken)
        if self._only is not None:
            active = active & self._only
        return active & self.affords(cost)

    def _chunks(self, cost: int) -> Iterator[Rows]:
        return chunks(self._active(cost), self.batch_size)

    def _confident(self, rows: Rows, own: Outputs) -> Mask | None:
        """Tell which answers (b,) are as confident as the attack wants them; None where it wants nothing."""
        if self.confidence <= 0 and self.least_lead <= 0:
            return None
        lead = self._questions.lead(own, self.y[rows])
        if self.confidence > 0:
            return lead >= self.confidence
        return self.best_points.leads_clearly(rows, lead, self.least_lead)
