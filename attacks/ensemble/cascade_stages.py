"""The stages of an economical cascade, each on the images and towards the classes that it may still break."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from attacks.ensemble.stopping_rules import any_of, ascending, linearised_distance, searching, shrinking
from attacks.gradient.apgd import random_climb
from attacks.gradient.apgd_loop import Climb, climb, climb_sparsely
from attacks.minimal.fab import Walk, towards, walk
from attacks.query.square import Square
from attacks.shared.tries import StrongestPoints, likeliest
from robench.attack.losses import cross_entropy, score_margin, targeted_dlr, targeted_margin
from robench.attack.threat import Goal
from robench.model.interface import Coupling

if TYPE_CHECKING:
    from collections.abc import Iterator

    from attacks.minimal.fab import Linearise
    from robench.attack.losses import Loss
    from robench.attack.oracle import Oracle
    from robench.randomness import Randomness
    from robench.types import Images, LabelsOrPairs, Mask, PerSample

SHORT = 0.3
"""First step of an ascent from the end of a search, in radii; short, because its point is good already."""


class CascadeStages:
    """The state of the attack on one batch, and the stages that improve it.

    Under a targeted goal there is one class to aim at, and one boundary: that of the target against the best
    other class.

    Args:
        oracle: access to the model, under a finite radius.
    """

    def __init__(self, oracle: Oracle) -> None:
        self._oracle, self._x, self._threat = oracle, oracle.x, oracle.threat
        self._targeted = oracle.threat.goal is Goal.TARGETED
        self._aims: list[LabelsOrPairs | None] = [None]
        self._distances = oracle.x.new_zeros(1, len(oracle.x))
        self.worst = StrongestPoints(oracle, score_margin)

    @property
    def standing(self) -> Mask:
        """Images (B,) that are not broken yet; for a joint batch, those that survive the worst batch."""
        if self._oracle.model.coupling is Coupling.JOINT:
            return ~(self.worst.value > 0)
        return ~self._oracle.broken

    @property
    def nearest(self) -> PerSample:
        """Distance (B,) of the nearest boundary, linearised at the worst points when last measured."""
        return self._distances.amin(dim=0)

    def open(self, steps: int, rng: Randomness) -> None:
        """Climb the cross-entropy from a random point, with all images."""
        self.worst.replace(random_climb(self._oracle, rng, cross_entropy, Climb(steps=steps)))

    def aim(self, classes: int) -> None:
        """Put the likeliest classes at the worst points into the order of their linearised distances.

        One forward pass, and one forward and backward pass for each class.
        """
        if not self._targeted:
            self._aims = list(likeliest(self._oracle, self.worst.points, classes))
        self._measure(classes)
        order = self._distances.argsort(dim=0, stable=True)
        self._distances = self._distances.gather(0, order)
        if not self._targeted:
            pairs = torch.stack([labels for labels in self._aims if labels is not None])
            self._aims = list(pairs.gather(0, order[..., None].expand_as(pairs)))

    def ascend(self, steps: int, far: float) -> None:
        """Climb from the worst points towards each class that is no farther than `far` radii."""
        for _, labels in self._within(far):
            self.worst.replace(self._climbed(labels, steps))

    def narrow(self, classes: int, near: float) -> None:
        """Measure the boundaries of close calls again, from the worst points so far; drop other images."""
        with self._oracle.only(self._close(near)):
            self._measure(classes)

    def project(self, steps: int, near: float) -> None:
        """Walk with FAB from the clean images to the boundaries that are no farther than `near` radii."""
        for _, labels in self._within(near):
            rule = shrinking(self._oracle, self._threat.eps, steps)
            walk(self._oracle, self._x, self._boundary(labels), Walk(steps=steps), watch=rule)

    def insist(self, steps: int, tries: int, near: float, rng: Randomness) -> None:
        """Climb to the end from random points where the nearest boundary is within `near` radii.

        First the cross-entropy, `tries` times, which may find a class that is none of those aimed at, then
        the loss of each of these that is that near.
        """
        how = Climb(steps=steps)
        close = self._close(near)
        with self._oracle.only(close):
            for number in range(tries):
                if self._oracle.finished or not bool((close & self._oracle.active).any()):
                    break
                stream = rng.split("any", number)
                self.worst.replace(random_climb(self._oracle, stream, cross_entropy, how))
        for rank, labels in self._within(near):
            stream = rng.split("class", rank)
            self.worst.replace(random_climb(self._oracle, stream, self._loss, how, labels))

    def search(self, least: int, queries: int, steps: int, near: float, rng: Randomness) -> None:
        """Search without gradients, and climb the margin from where the search ended.

        `least` queries an image; more, and `steps` steps of ascent, where a boundary is within `near` radii.
        The search crosses to places that no ascent from a random point comes to, and ends a little before
        the boundary, to which a few short steps are cheaper than the queries that are left.
        """
        close = self._close(near)
        rule = searching(self._oracle, least=least, rival=self.worst.value, close=close)
        end = Square(queries=queries).search(self._oracle, score_margin, rng, rule)
        self.worst.replace(end)
        with self._oracle.only(close):
            if not self._oracle.finished and bool((close & self._oracle.active).any()):
                self.worst.replace(self._polished(end, steps))

    def refine(self, queries: int, share: float, near: float, rng: Randomness) -> None:
        """Repaint small windows of the worst points at random where a boundary is within `near` radii.

        The first windows cover `share` of an image: its point is good already, so changes are small. Under
        Linf only, where Square repaints windows: in other norms it moves mass, of which the end of an ascent
        has none to spare.
        """
        close = self._close(near)
        if self._threat.norm.name != "Linf" or not bool((close & self._oracle.active).any()):
            return
        square = Square(queries=queries, first_share=share)
        with self._oracle.only(close):
            self.worst.replace(square.search(self._oracle, score_margin, rng, start=self.worst.points))

    def _close(self, near: float) -> Mask:
        """Return the images (B,) whose nearest boundary is within `near` radii."""
        return any_of(self._oracle, (self._distances <= near * self._threat.eps).any(dim=0))

    def _polished(self, start: Images, steps: int) -> Images:
        """Return the end points (B, C, H, W) of a margin ascent with short steps."""
        if self._threat.norm.name == "L1":
            return climb_sparsely(self._oracle, start, score_margin, steps=steps)
        how = Climb(steps=steps, first=SHORT * self._threat.eps)
        return climb(self._oracle, start, score_margin, how)

    @property
    def _loss(self) -> Loss:
        """The loss of an ascent towards one class: positive exactly if the attacker has reached it."""
        return score_margin if self._targeted else targeted_dlr

    def _climbed(self, labels: LabelsOrPairs | None, steps: int) -> Images:
        """Return the end points of an ascent from the worst points; under L1 without the stopping rule."""
        if self._threat.norm.name == "L1":
            return climb_sparsely(self._oracle, self.worst.points, self._loss, steps=steps, labels=labels)
        rule = ascending(self._oracle, steps)
        return climb(
            self._oracle, self.worst.points, self._loss, Climb(steps=steps), labels=labels, watch=rule
        )

    def _boundary(self, labels: LabelsOrPairs | None) -> Linearise:
        return towards(self._oracle, score_margin if self._targeted else targeted_margin, labels)

    def _measure(self, classes: int) -> None:
        """Store the distances (T, B) of the first classes' boundaries, linearised at the worst points."""
        self._distances = torch.stack(
            [
                linearised_distance(self._x, self.worst.points, self._boundary(labels), self._threat)
                for labels in self._aims[:classes]
            ]
        )

    def _within(self, radii: float) -> Iterator[tuple[int, LabelsOrPairs | None]]:
        """Yield the classes measured in turn, with only those images asked about that may reach them.

        The number that comes with a class is its rank, whichever ranks are left out: what is drawn at random
        for an image must not depend on the prospects of others.
        """
        near = self._distances <= radii * self._threat.eps
        for rank, (labels, reachable) in enumerate(zip(self._aims, near, strict=False)):
            hopeful = any_of(self._oracle, reachable & self.standing)
            if self._oracle.finished or not bool(hopeful.any()):
                continue
            with self._oracle.only(hopeful):
                yield rank, labels
