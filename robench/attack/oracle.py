"""The only road from an attack to a model: it counts, remembers the best point, spares what is done."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch

from robench.attack.ledger import Ledger
from robench.attack.loss_progress import Trail
from robench.attack.losses import Loss, margin, scores, without_rejection
from robench.attack.norms import per_image
from robench.attack.threat import Goal, ThreatModel
from robench.model.interface import NOT_FINITE, Coupling, GradientSource, Model, predictions
from robench.types import Images, Labels, Mask, Outputs, PerSample


@dataclass(slots=True)
class Oracle:
    """Answers an attacker's questions about one batch of images.

    Args:
        model: the model under attack.
        x: clean images (B, C, H, W).
        y: labels (B,), or targets under a targeted goal.
        threat: decides which points are admissible and what success is.
        source: the gradient source to differentiate; the model's first one by default.
        drop: stop spending on an image once an admissible adversarial point of it was seen. Only sound when
            nothing but this model's verdict is wanted; refused (set to False) for a joint batch.
        minimise: remember the smallest adversarial point instead of the first.
        track: watch for success at all; off inside adversarial training, where only gradients matter.
        batch_size: most images per pass; a joint model always sees the whole batch.
        confidence: score margin by which a point worth remembering should reach the goal, set by attacks that
            want confident points; where none has it, the smallest that reaches the goal is remembered.
        together: set by attacks whose points belong together, such as one perturbation for all images: no
            image is dropped, and the last points are proposed as they are, never mixed with earlier ones.
        lent: set where a library attacks. Its own points are proposed, and one it met earlier only where that
            broke an image and the one it returned does not.
        unheard: set where it asked about points of which nobody knows whose they are: how many it tried, and
            when one broke an image, is then not known.
        reached: (B,) whether the model's own answer, when last asked about each image, was what the attacker
            wants, be the point admissible or not.
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
    together: bool = False
    lent: bool = False
    unheard: bool = False
    trail: Trail = field(init=False)
    ledger: Ledger = field(init=False)
    reached: Mask = field(init=False)
    broken: Mask = field(init=False)
    best: Images = field(init=False)
    best_size: PerSample = field(init=False)
    _last_success: Mask = field(init=False)
    _best_confident: Mask = field(init=False)
    _most_broken: int = field(init=False, default=0)
    _best_success: Mask = field(init=False)
    _smallest_batch: float = field(init=False, default=float("inf"))
    _try: int = field(init=False, default=1)
    _announced: bool = field(init=False, default=False)
    _only: Mask | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        """Start with nothing spent and nothing found."""
        count, device = len(self.x), self.x.device
        if self.source is None:
            self.source = next(iter(self.model.sources.values()))
        if self.model.coupling is Coupling.JOINT:
            self.drop = False
            self.batch_size = max(count, 1)
        if self.minimise and not self.threat.bounded:
            self.drop = False  # the first adversarial point is not the smallest
        no = torch.zeros(count, dtype=torch.bool, device=device)
        self.ledger = Ledger.empty(count, device)
        self.trail = Trail(count, device)
        self.broken, self._last_success, self._best_confident = no.clone(), no.clone(), no.clone()
        self.reached, self._best_success = no.clone(), no.clone()
        self.best = self.x.clone() if self.track else self.x
        self.best_size = self.x.new_full((count,), torch.inf)

    @property
    def active(self) -> Mask:
        """Which images still get passes: not yet broken (where dropping is on) and within budget."""
        return self._affords(1)

    @property
    def finished(self) -> bool:
        """Whether no image is active any more, so that the attack may stop."""
        return (self.drop or self.threat.budget is not None) and not bool(self.active.any())

    def begin_try(self) -> None:
        """Say that a fresh start begins, such as a restart, so that the ledger can tell which one succeeded.

        An attack that never says so makes one try. In a cascade the tries of all its attacks are counted on.
        """
        self._try += self._announced
        self._announced = True

    @contextmanager
    def only(self, rows: Mask) -> Iterator[None]:
        """Inside the block only these images (B,) are asked about; the others are inactive and cost nothing.

        A joint batch is always asked whole: for it the block changes nothing.
        """
        before = self._only
        if self.model.coupling is not Coupling.JOINT:
            self._only = rows if before is None else before & rows
        try:
            yield
        finally:
            self._only = before

    @contextmanager
    def ascent(self) -> Iterator[None]:
        """Say that the gradients asked for inside the block are the steps of one ascent of one loss.

        That is what allows to tell whether it has converged (see `Trail`); an attack that climbs nothing, or
        more than one thing at a time, does not say so and is not judged by it.
        """
        self.trail.begin()
        try:
            yield
        finally:
            self.trail.end()
            self.ledger.rise, self.ledger.late_rise = self.trail.rise, self.trail.late_rise

    def gradient(
        self, loss: Loss, x_adv: Images, y: Labels | None = None, *, source: GradientSource | None = None
    ) -> Images:
        """Return the gradient of the per-sample loss at `x_adv`, (B, C, H, W).

        Images that are not active get a zero gradient and cost nothing. Under a targeted goal the sign is
        turned, so that going up always helps the attacker. Rows that are not finite are returned as zero
        and noted in the ledger.

        Args:
            loss: what to differentiate.
            x_adv: where, (B, C, H, W).
            y: labels (B,) for the loss; those of the oracle by default.
            source: what to differentiate in place of the model; the oracle's own source by default. Only for
                attacks that choose their sources themselves (`AttackInfo.own_source`).
        """
        return self.value_and_gradient(loss, x_adv, y, source=source)[1]

    def value_and_gradient(
        self, loss: Loss, x_adv: Images, y: Labels | None = None, *, source: GradientSource | None = None
    ) -> tuple[PerSample, Images]:
        """Return the per-sample loss (B,) and its gradient (B, C, H, W) at `x_adv`; see `gradient`.

        Inactive images have loss -inf.
        """
        source = source or self._source()
        labels = self.y if y is None else y
        gradient = torch.zeros_like(self.x)
        value = torch.full_like(self.best_size, -torch.inf)
        sign = -1.0 if self.threat.goal is Goal.TARGETED else 1.0
        for rows in self._rows(cost=source.forwards + source.backwards):
            whole = rows is None
            part = x_adv if whole else x_adv[rows]
            target = labels if whole else labels[rows]
            point = part.detach().requires_grad_(True)
            with torch.enable_grad():
                surrogate, own = source.surrogate(point)
                losses = sign * loss(surrogate, target, source.output)
                found = _gradient(losses, point)
            self._count(rows, source.forwards, source.backwards)
            finite = torch.isfinite(found.flatten(1)).all(dim=1)
            if not finite.all():
                found = found.where(per_image(finite, found), torch.zeros_like(found))
            self._note(rows, finite, found)
            self._watch(rows, part, own.detach())
            self._compare(source, rows, part, surrogate, own)
            if whole:
                gradient, value = found, losses.detach()
            else:
                gradient[rows], value[rows] = found, losses.detach()
        self.trail.follow(value)
        return value, gradient

    def score_gradients(self, x_adv: Images) -> tuple[Outputs, Images]:
        """Return the scores (B, K) of the source and the gradient (B, K, C, H, W) of each.

        A plain model takes 1 + K passes for it.

        Scores are logits or log-probabilities; of a simplex point the logarithm is taken. Images that are not
        active, or have no budget left for all passes, get NaN scores and zero gradients and cost nothing.
        Rows that are not finite are zero.
        """
        classes, source = self.model.classes, self._source()
        found = x_adv.new_full((len(x_adv), classes), torch.nan)
        gradients = x_adv.new_zeros((len(x_adv), classes, *x_adv.shape[1:]))
        for rows in self._rows(cost=source.forwards + classes * source.backwards):
            where = torch.arange(len(x_adv), device=x_adv.device) if rows is None else rows
            point = x_adv[where].detach().requires_grad_(True)
            with torch.enable_grad():
                surrogate, own = source.surrogate(point)
                columns = scores(surrogate, source.output).unbind(dim=1)
                part = torch.stack([_gradient(column, point, keep=True) for column in columns], dim=1)
            self._count(rows, source.forwards, classes * source.backwards)
            finite = torch.isfinite(part.flatten(1)).all(dim=1)
            part = part.where(per_image(finite, part), torch.zeros_like(part))
            self._note(rows, finite, part)
            self._watch(rows, x_adv[where], own.detach())
            found[where], gradients[where] = torch.stack(columns, dim=1).detach(), part
        return found, gradients

    def value(self, loss: Loss, x_adv: Images) -> PerSample:
        """Return the per-sample loss (B,) of the model's own outputs, by one forward pass.

        Under a targeted goal the sign is turned; inactive images and losses that are no number have -inf.
        """
        active = self.active
        found = loss(self.outputs(x_adv), self.y, self.model.output)
        found = -found if self.threat.goal is Goal.TARGETED else found
        return found.where(active & ~found.isnan(), -torch.inf)

    def overhear(self, rows: torch.Tensor, points: Images, own: Outputs, *, passes: torch.Tensor) -> None:
        """Note the model's own outputs (b, columns) at points that a library asked about, of these rows.

        Nothing is charged: see `charge`. `passes` (b,) is what the library had spent on each by then.
        """
        known = self.broken[rows]
        self._watch(rows, points, own)
        fresh = self.broken[rows] & ~known
        self.ledger.first_passes[rows[fresh]] += passes[fresh]

    def overhear_gradient(self, rows: torch.Tensor, gradient: Images) -> None:
        """Note a gradient (b, C, H, W) that a library was given at its points for these rows."""
        self._note(rows, torch.isfinite(gradient.flatten(1)).all(dim=1), gradient)

    def charge(self, *, forwards: int, backwards: int) -> None:
        """Book passes that a library spent on the whole batch, each so many per image."""
        self.ledger.forwards += forwards
        self.ledger.backwards += backwards

    def outputs(self, x_adv: Images) -> Outputs:
        """Return the model's own outputs (B, K) at `x_adv`; inactive images get NaN rows and cost nothing.

        Of a model that may reject an image they are `losses.without_rejection`, as the attacker sees them.
        """
        result = self.x.new_full((len(self.x), self.model.classes), torch.nan)
        for rows in self._rows(cost=self.model.forwards):
            part = x_adv if rows is None else x_adv[rows]
            with torch.no_grad():
                own = self.model.net(part)
            self._count(rows, self.model.forwards)
            self._watch(rows, part, own)
            if rows is None:
                result = self._seen(own, self.y)
            else:
                result[rows] = self._seen(own, self.y[rows])
        return result

    def successful(self, x_adv: Images) -> Mask:
        """Tell which points reach the attacker's goal, by one forward pass; (B,). Inactive images: False."""
        active = self.active
        return self._reached(predictions(self.outputs(x_adv), self.model.output), self.y) & active

    def lead(self, rows: torch.Tensor, points: Images) -> PerSample:
        """Return by how much what the attacker wants leads, (b,), relative to the image's largest output.

        One forward pass for points (b, C, H, W) of these rows (b,); -inf where the goal is not reached.
        """
        with torch.no_grad():
            own = self.model.net(points)
        self._count(rows, self.model.forwards)
        y = self.y[rows]
        lead = margin(self._seen(own, y), y, self.model.output)
        lead = -lead if self.threat.goal is Goal.TARGETED else lead
        scale = own.where(torch.isfinite(own), 0.0).abs().amax(dim=1).clamp_min(torch.finfo(own.dtype).tiny)
        found: PerSample = (lead / scale).where(self._reached(predictions(own), y), -torch.inf)
        return found

    def proposal(self, last: Images) -> Images:
        """Return what the attack has to show for each image: its last point, or a better one seen before.

        An image whose last point is adversarial, or of which no point was, keeps `last` (the strongest for
        transfer); one that was adversarial on the way but not at the end gets the point remembered. The
        pass this takes is spent only on images where it can change the answer. In a joint batch points of
        different steps must not be mixed: the whole batch of the step that broke the most images is
        returned.
        """
        self.ledger.deceived = self.trail.deceived & ~self.broken
        if not self.track or self.together:
            return last
        if self.model.coupling is Coupling.JOINT:
            self.outputs(last)
            if self.lent and int(self._last_success.sum()) < self._most_broken:
                self.ledger.silent = self.broken & ~self._last_success
            self.ledger.claimed = self._best_success.clone()
            return self.best if self._most_broken > 0 else last
        self.ledger.claimed = self.broken.clone()
        if self.lent:
            return self._returned(last)
        keep_best = self.broken
        if not self.minimise:
            asked = self.broken & self._affords(self.model.forwards)
            self._ask_last(asked.nonzero().squeeze(1), last)
            keep_best = self.broken & ~(asked & self._last_success)
        return torch.where(per_image(keep_best, last), self.best, last)

    def _returned(self, last: Images) -> Images:
        """Return a library's points, mended where it let go of an adversarial one (silent success)."""
        self._ask_last(self.broken.nonzero().squeeze(1), last)
        self.ledger.silent = self.broken & ~self._last_success
        if self.unheard:
            for column in (self.ledger.points, self.ledger.first_success, self.ledger.first_passes):
                column.zero_()
        return torch.where(per_image(self.ledger.silent, last), self.best, last)

    def _ask_last(self, rows: torch.Tensor, last: Images) -> None:
        """Ask the model about the last points of these rows."""
        for chunk in torch.split(rows, self.batch_size) if len(rows) else ():
            with torch.no_grad():
                own = self.model.net(last[chunk])
            self._count(chunk, self.model.forwards)
            self._watch(chunk, last[chunk], own)

    def _affords(self, cost: int) -> Mask:
        """Tell which images still get passes, and have budget left for so many."""
        active = ~self.broken if self.drop and not self.together else torch.ones_like(self.broken)
        if self._only is not None:
            active = active & self._only
        if self.threat.budget is not None:
            active = active & (self.ledger.forwards + self.ledger.backwards + cost <= self.threat.budget)
        return active

    def _rows(self, cost: int = 1) -> Iterator[torch.Tensor | None]:
        """Yield the rows that get a pass in chunks; None is the whole batch, so that nothing is copied."""
        active = self._affords(cost)
        if bool(active.all()) and len(self.x) <= self.batch_size:
            if len(self.x):
                yield None
            return
        if bool(active.any()):
            yield from torch.split(active.nonzero().squeeze(1), self.batch_size)

    def _source(self) -> GradientSource:
        assert self.source is not None  # set in __post_init__
        return self.source

    def _reached(self, predicted: Labels, y: Labels) -> Mask:
        """Tell whether a prediction is what the attacker wants; neither no number nor a rejection is.

        A tie is not the right answer, which is all that one without a target wants.
        """
        if self.threat.goal is Goal.TARGETED:
            return predicted == y
        return (predicted != y) & (predicted != NOT_FINITE) & (predicted < self.model.classes)

    def _seen(self, own: Outputs, y: Labels) -> Outputs:
        """Return the model's outputs (B, K) as the attacker sees them, a rejection worked in."""
        if not self.model.rejects:
            return own
        return without_rejection(own, y, targeted=self.threat.goal is Goal.TARGETED)

    def _count(self, rows: torch.Tensor | None, forwards: int, backwards: int = 0) -> None:
        where = slice(None) if rows is None else rows
        self.ledger.forwards[where] += forwards
        self.ledger.backwards[where] += backwards

    def _note(self, rows: torch.Tensor | None, finite: Mask, gradient: Images) -> None:
        where = slice(None) if rows is None else rows
        self.ledger.gradients[where] += 1
        self.ledger.nonfinite[where] |= ~finite
        self.ledger.zero_gradient[where] += (gradient.flatten(1).abs().amax(dim=1) == 0) & finite

    def _compare(
        self,
        source: GradientSource,
        rows: torch.Tensor | None,
        points: Images,
        surrogate: Outputs,
        own: Outputs,
    ) -> None:
        """Note where what is differentiated was fooled, and the model that stands behind it was not."""
        if not self.track:
            return
        fooled = None
        if surrogate is not own:
            where = slice(None) if rows is None else rows
            answer = predictions(surrogate.detach()[:, : self.model.classes], source.output)
            fooled = self._reached(answer, self.y[where]) & ~self._last_success[where]
            if bool(fooled.any()):
                fooled[fooled.clone()] = self.threat.admits(self.x[where][fooled], points[fooled])
        self.trail.compare(source.name, rows, fooled)

    def _watch(self, rows: torch.Tensor | None, points: Images, own: Outputs) -> None:
        """Note which of the points reach the goal, and remember the best of them."""
        where = torch.arange(len(self.x), device=self.x.device) if rows is None else rows
        predicted = predictions(own, self.model.output)
        self.reached[where] = self._reached(predicted, self.y[where])
        if not self.track:
            return
        self.ledger.nonfinite[where] |= predicted == NOT_FINITE
        ledger = self.ledger
        ledger.tries[where] = self._try
        ledger.points[where] += 1
        success = self.reached[where]
        if bool(success.any()):
            success[success.clone()] = self.threat.admits(self.x[where[success]], points[success])
        self._last_success[where] = success
        fresh = where[success & ~self.broken[where]]
        ledger.first_try[fresh] = self._try
        ledger.first_success[fresh] = ledger.points[fresh]
        ledger.first_passes[fresh] = ledger.forwards[fresh] + ledger.backwards[fresh]
        self.broken[fresh] = True
        if self.model.coupling is Coupling.JOINT:
            self._remember_batch(points, success)
        elif bool(success.any()):
            self._remember(where[success], points[success], own[success], fresh)

    def _remember(self, rows: torch.Tensor, points: Images, own: Outputs, fresh: torch.Tensor) -> None:
        """Keep the first adversarial point of each image, or the smallest if the attack minimises."""
        if not self.minimise:
            first = torch.isin(rows, fresh)
            self.best[rows[first]] = points[first].detach()
            return
        size = self.threat.norm.size(points.detach() - self.x[rows])
        smaller = size < self.best_size[rows]
        if self.confidence > 0:
            lead = margin(self._seen(own, self.y[rows]), self.y[rows], self.model.output)
            lead = -lead if self.threat.goal is Goal.TARGETED else lead
            confident, before = lead >= self.confidence, self._best_confident[rows]
            smaller = torch.where(confident == before, smaller, confident)
            self._best_confident[rows] = before | confident
        self.best_size[rows[smaller]] = size[smaller]
        self.best[rows[smaller]] = points[smaller].detach()

    def _remember_batch(self, points: Images, success: Mask) -> None:
        """Keep the joint batch that breaks the most images; a later one of equal count only if smaller."""
        count = int(success.sum())
        size = float(self.threat.norm.size(points.detach() - self.x).sum())
        better = count > self._most_broken
        if better or (self.minimise and count == self._most_broken and size < self._smallest_batch):
            self.best, self._most_broken, self._smallest_batch = points.detach().clone(), count, size
            self._best_success = success.clone()


def _gradient(losses: PerSample, point: Images, *, keep: bool = False) -> Images:
    """Return the gradient at `point`; zero where the output does not depend on it, as after a detach.

    With `keep` the graph stays for another gradient of the same pass.
    """
    if not losses.requires_grad:
        return torch.zeros_like(point)
    (found,) = torch.autograd.grad(losses.sum(), point, allow_unused=True, retain_graph=keep)
    return torch.zeros_like(point) if found is None else found.detach()
