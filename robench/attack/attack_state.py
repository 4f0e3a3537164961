"""The state of an attack on one batch: its cost, the best points found, and the images still in work."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch

from robench.attack.best_points import BestPoints, FooledSources
from robench.attack.declarations import Declarations, Declaring
from robench.attack.ledger import ALL, Ledger, Rows
from robench.attack.loss_progress import note_ascent
from robench.attack.questions import GradientAnswer, Questions
from robench.attack.threat import ThreatModel
from robench.model.interface import NOT_FINITE, Coupling, GradientSource, Model, predictions
from robench.types import Images, Labels, Mask, Outputs, PerSample


class AttackState(Declaring):
    """The cost and the findings of an attack on one batch so far, and which images still get passes.

    It counts (`Ledger`), remembers (`BestPoints`, `FooledSources`), and holds what the attack declares of
    itself (`Declarations`).

    Args:
        model: the model under attack.
        x: clean images (B, C, H, W); an attack must not change them.
        y: labels (B,), or targets under a targeted goal; an attack must not change them.
        threat: decides which points are admissible, and what counts as success.
        source: the gradient source to differentiate; the model's first one by default.
        drop: stop using passes on an image once an admissible adversarial point of it was found. Only valid
            if the images are judged on this model alone; refused (set to False) for a joint batch.
        minimise: see `Declarations`.
        track: check for success; off inside adversarial training, where only gradients matter.
        batch_size: most images per pass; a joint model always sees the whole batch.
        confidence: see `Declarations`.
        least_lead: see `Declarations`.
        points_belong_together: see `Declarations`.
        on_passes: called with the number of passes just made, each on one image; None for no call.

    Attributes:
        declarations: what the attack declares of itself.
        reached: (B,) whether the model's last output for each image reached the attacker's goal, at an
            admissible point or not.
        ledger: costs and findings.
        best_points: the best points found.
    """

    __slots__ = (
        "_joint", "_losses", "_only", "_questions", "_source", "_sources", "_starts",
        "batch_size", "best_points", "drop", "ledger", "model", "on_passes", "reached", "source", "threat",
        "track", "x", "y",
    )  # fmt: skip

    def __init__(
        self,
        model: Model,
        x: Images,
        y: Labels,
        threat: ThreatModel,
        source: GradientSource | None = None,
        drop: bool = False,
        minimise: bool = False,
        track: bool = True,
        batch_size: int = 250,
        confidence: float = 0.0,
        least_lead: float = 0.0,
        points_belong_together: bool = False,
        on_passes: Callable[[int], None] | None = None,
    ) -> None:
        self.model, self.x, self.y, self.threat = model, x, y, threat
        self.track, self.on_passes = track, on_passes
        self.declarations = Declarations(
            minimise=minimise,
            confidence=confidence,
            least_lead=least_lead,
            points_belong_together=points_belong_together,
        )
        count, device = len(x), x.device
        self.source = self._source = source or next(iter(model.sources.values()))
        self._joint = model.coupling is Coupling.JOINT
        wants_more = minimise and not threat.bounded  # the first adversarial point is not the smallest
        self.drop = drop and not self._joint and not wants_more
        self.batch_size = max(count, 1) if self._joint else batch_size
        self.reached: Mask = torch.zeros(count, dtype=torch.bool, device=device)
        self.ledger = Ledger.empty(count, device)
        self.best_points = BestPoints(x, threat, minimise=minimise, joint=self._joint, track=track)
        self._sources = FooledSources(self.best_points)
        self._questions = Questions(model, threat.goal)
        self._losses: list[PerSample] | None = None  # of the steps of the present ascent
        self._starts = 0
        self._only: Mask | None = None

    @property
    def broken(self) -> Mask:
        """Images (B,) with an admissible adversarial point."""
        return self.best_points.broken

    @property
    def best(self) -> Images:
        """The best point (B, C, H, W) of each image, the clean image if there is none."""
        return self.best_points.points

    @property
    def best_size(self) -> PerSample:
        """Size (B,) of the smallest point, if the attack minimises; infinite if there is none."""
        return self.best_points.size

    @property
    def active(self) -> Mask:
        """Images (B,) that still get passes: not yet broken (if dropping is on) and within budget."""
        return self._active(1)

    @property
    def finished(self) -> bool:
        """Whether no image is active any more, so that the attack may stop."""
        return (self.drop or self.threat.budget is not None) and not bool(self.active.any())

    def begin_try(self) -> None:
        """Announce a fresh start, such as a restart, so that the ledger can store which start succeeded.

        An attack that never calls this makes one try. In a cascade the tries of all its attacks are counted.
        """
        self._starts += 1

    @contextmanager
    def only(self, rows: Mask) -> Iterator[None]:
        """Inside the block only these images (B,) are evaluated; the others are inactive and cost nothing.

        A joint batch is always evaluated as a whole: for it the block changes nothing.
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
        """Announce that the gradients inside the block are the steps of one ascent of one loss.

        Losses can only be compared while the attack raises the same loss; restarts, stages and members of a
        cascade are separate ascents. This makes it possible to check its convergence. An attack without an
        ascent, or with several losses at a time, does not use it and is not checked.
        """
        self._losses = []
        try:
            yield
        finally:
            losses, self._losses = self._losses, None
            note_ascent(self.ledger, losses or ())

    def follow_ascent(self, losses: PerSample) -> None:
        """Record the losses (B,) of a step of an ascent, -inf where an image was not evaluated."""
        if self._losses is not None:
            self._losses.append(losses)

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
        """Record one evaluation: keep the best points, compare source and model, and count the passes.

        Args:
            rows: the images.
            points: (b, C, H, W).
            own: the model's own outputs (b, columns) there.
            forwards: passes on each image; 0 if they are counted elsewhere.
            backwards: the same.
            gradient: the result, if a gradient was computed.
        """
        answers = predictions(own)
        successes = self._questions.reached(answers, self.y[rows])
        self.reached[rows] = successes
        first: torch.Tensor | None = None
        if self.track:
            confident = self._confident(rows, own) if self.declarations.minimise else None
            first = self.best_points.meet(rows, points, successes, confident)
            if gradient is not None and gradient.source:
                classes, deceptions = gradient.predicted, None
                if classes is not None:
                    deceptions = self._questions.reached(classes, self.y[rows])
                self._sources.compare(gradient.source, rows, points, deceptions)
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
        """Count passes on the whole batch, given per image."""
        self._book(ALL, forwards=forwards, backwards=backwards)

    def _book(self, rows: Rows, *, forwards: int = 0, backwards: int = 0) -> None:
        self.ledger.book(rows, forwards=forwards, backwards=backwards)
        if self.on_passes is not None:
            images = len(self.x) if isinstance(rows, slice) else len(rows)
            self.on_passes(images * (forwards + backwards))

    def affords(self, cost: int) -> Mask:
        """Tell which images (B,) have budget left for so many passes; all of them without a budget."""
        if self.threat.budget is None:
            return torch.ones_like(self.broken)
        return self.ledger.forwards + self.ledger.backwards + cost <= self.threat.budget

    def _active(self, cost: int) -> Mask:
        """Tell which images (B,) still get passes, and have budget left for so many."""
        drops = self.drop and not self.declarations.points_belong_together
        active = ~self.broken if drops else torch.ones_like(self.broken)
        if self._only is not None:
            active = active & self._only
        return active & self.affords(cost)

    def _confident(self, rows: Rows, own: Outputs) -> Mask | None:
        """Tell which outputs (b,) have the confidence that the attack needs; None if it needs none."""
        declarations = self.declarations
        if not declarations.need_margin:
            return None
        lead = self._questions.lead(own, self.y[rows])
        if declarations.confidence > 0:
            return lead >= declarations.confidence
        return self.best_points.leads_clearly(rows, lead, declarations.least_lead)
