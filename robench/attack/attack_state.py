"""How far an attack on one batch is: what it spent, the best points it met, and who is still asked about."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch

from robench.attack.best_points import BestPoints
from robench.attack.ledger import Ledger, Rows
from robench.attack.loss_progress import FooledSources, LossProgress
from robench.attack.questions import ALL, GradientAnswer, Questions
from robench.attack.threat import ThreatModel
from robench.model.interface import NOT_FINITE, Coupling, GradientSource, Model, predictions
from robench.types import Images, Labels, Mask, Outputs, PerSample


@dataclass(slots=True)
class AttackState:
    """What an attack on one batch of images has spent and met so far, and which images still get passes.

    It counts (`Ledger`, `LossProgress`, `FooledSources`) and remembers (`BestPoints`).

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

    def _confident(self, rows: Rows, own: Outputs) -> Mask | None:
        """Tell which answers (b,) are as confident as the attack wants them; None where it wants nothing."""
        if self.confidence <= 0 and self.least_lead <= 0:
            return None
        lead = self._questions.lead(own, self.y[rows])
        if self.confidence > 0:
            return lead >= self.confidence
        return self.best_points.leads_clearly(rows, lead, self.least_lead)
