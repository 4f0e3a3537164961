"""Branch and bound over the signs of rectifiers: a certificate, an adversarial image, or a smaller gap.

Plain bounds come first, then gradients, then subdomains (beta-CROWN: Wang et al. 2021, arXiv:2103.06624),
whose minimisers are starts for more gradients (Zhang et al. 2022, arXiv:2206.06589).
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from operator import itemgetter

import torch
from torch import Tensor, nn

from robench.attack.norms import per_image
from robench.attack.threat import ThreatModel
from robench.bounds.agreement import NEAR
from robench.bounds.branching import Splitter
from robench.bounds.certifier import Certifier
from robench.bounds.inputs import identities
from robench.bounds.local_search import descended
from robench.bounds.network import Effort, margin_bounds, margin_rows
from robench.bounds.passes import Passes
from robench.bounds.region import Region
from robench.bounds.search import Budget, Outcome, Search, Verdict
from robench.model.interface import Model
from robench.randomness import Randomness
from robench.types import AnyLabels, Image, Images, Labels

ANSWERS = 2 * (1 + NEAR) + 1
"""Passes of the network itself per image: graph and network are compared twice."""


def branch_and_bound(
    model: Model | nn.Module,
    x: Images,
    y: AnyLabels,
    threat: ThreatModel,
    *,
    budget: Budget | None = None,
    seed: int = 0,
    progress: Callable[[int, Outcome], None] = lambda number, outcome: None,
) -> list[Outcome]:
    """Decide for each image whether its prediction can be changed: certified, broken or undecided.

    Args:
        model: a model, or a plain network of logits.
        x: images (B, C, H, W) in the box.
        y: their classes (B,).
        threat: norm, radius and box.
        budget: for each image; 60 seconds by default.
        seed: of the random starts of gradients.
        progress: called with each image's number and outcome.

    Raises:
        ConfigError: the model or the threat has no bounds; the layer is named.
        InputError: images or labels cannot be used.
    """
    certifier = Certifier.of(model, threat, x)
    x, y = certifier.checked(x, y)
    return outcomes_of(certifier, x, y, budget or Budget(), seed=seed, progress=progress)


def outcomes_of(
    certifier: Certifier,
    x: Images,
    y: Labels,
    budget: Budget,
    *,
    seed: int = 0,
    progress: Callable[[int, Outcome], None] = lambda number, outcome: None,
) -> list[Outcome]:
    """Return the outcomes of `branch_and_bound` for images that the certifier has checked."""
    right, slack, identity = certifier.right(x, y).tolist(), certifier.slack(x).tolist(), identities(x)
    outcomes = []
    for number in range(len(x)):
        one, label = x[number : number + 1], y[number : number + 1]
        if right[number]:
            # Random numbers depend on the image alone, not on its position.
            rng = Randomness(seed, torch.arange(0), ("branch and bound", int(identity[number])))
            outcome = decide(certifier, one, label, budget, slack=slack[number], rng=rng)
        else:
            outcome = _wrong(certifier, one, label)
        outcomes.append(outcome)
        progress(number, outcome)
    return outcomes


def _wrong(certifier: Certifier, x: Images, y: Labels) -> Outcome:
    """Return the outcome of an image (1, C, H, W) that the model misclassifies without any change."""
    start = time.perf_counter()
    bound = float(certifier.margins(x, y, Effort()).min())
    seconds = time.perf_counter() - start
    return Outcome(
        verdict=Verdict.BROKEN,
        bound=bound,
        x_adv=x[0],
        domains=1,
        seconds=seconds,
        closest=x[0],
        forwards=ANSWERS,
    )


def decide(
    certifier: Certifier, x: Images, y: Labels, budget: Budget, *, slack: float, rng: Randomness
) -> Outcome:
    """Return the outcome of one image (1, C, H, W) that the model gets right."""
    start = time.perf_counter()
    bounds = certifier.bounded(x, Effort())
    margins = margin_bounds(bounds, y, Effort()).scatter(1, y[:, None], torch.inf)[0]
    bound = float(margins.min())
    attack = Descent(certifier, x, y, budget, rng, Passes(forwards=ANSWERS, backwards=len(margins) - 1))
    if bound > slack:
        return attack.outcome(Verdict.CERTIFIED, bound, start)
    if budget.attacked + budget.restarts:
        x_adv = attack.anywhere(8 * budget.restarts, 40)
        if x_adv is not None:
            return attack.outcome(Verdict.BROKEN, bound, start, x_adv)
    rivals = (~(margins > slack)).nonzero().squeeze(1)
    owner = torch.zeros(len(rivals), dtype=torch.long)
    functions = margin_rows(certifier.model.classes, y, owner, rivals, torch.float64).a
    splitter = Splitter.of(bounds, attack.passes)
    outcome = Search(splitter, attack, budget, above=slack, started=start).run(functions)
    proofs = margins[margins > slack]
    least = min([outcome.bound, *proofs.tolist()])
    bound = max(bound, least) if outcome.verdict is not Verdict.BROKEN else bound
    return attack.outcome(outcome.verdict, bound, start, outcome.x_adv, domains=outcome.domains)


@dataclass(slots=True)
class Descent:
    """Searches an adversarial image: projected descent on the margin, and integer programming near the best.

    Attributes:
        certifier: the model and the threat.
        x: (1, C, H, W) the image.
        y: (1,) its class.
        budget: how many starts, and when to polish.
        rng: for random starts.
        passes: the passes so far.
        turns: batches so far.
        pool: margins and points that were not polished yet, the best first.
        closest: (C, H, W) the admissible point with the smallest margin so far, and `least` that margin.
    """

    certifier: Certifier
    x: Images
    y: Labels
    budget: Budget
    rng: Randomness
    passes: Passes = field(default_factory=Passes)
    turns: int = 0
    pool: list[tuple[float, Tensor]] = field(default_factory=list)
    closest: Tensor | None = None
    least: float = math.inf

    def outcome(
        self, verdict: Verdict, bound: float, started: float, x_adv: Image | None = None, *, domains: int = 1
    ) -> Outcome:
        """Return the outcome of the image, with the cost."""
        return Outcome(
            verdict=verdict,
            bound=bound,
            x_adv=x_adv,
            domains=domains,
            seconds=time.perf_counter() - started,
            closest=self.x[0].float() if self.closest is None else self.closest,
            forwards=self.passes.forwards,
            backwards=self.passes.backwards,
        )

    def __call__(self, points: Images, until: float) -> Image | None:
        """Return an admissible image that the model itself gets wrong, (C, H, W), or None.

        Args:
            points: (N, C, H, W) minimisers of bounds: used as starts beside random ones.
            until: when to stop polishing, on the clock of `time.perf_counter`.
        """
        self.turns += 1
        starts = torch.cat([points.float(), self._drawn(self.budget.restarts)])
        # A minimiser of a bound is already a good point: shorter steps stay near it.
        reach = torch.where(torch.arange(len(starts)) < len(points), 0.5, 1.0)
        point = self._descended(starts, reach, 20)
        if point is None and self.budget.polish is not None and self.turns % self.budget.polish == 0:
            point = self._polished(until)
        return point

    def anywhere(self, count: int, steps: int) -> Image | None:
        """Return an adversarial image from random starts, or None."""
        return self._descended(self._drawn(count), torch.ones(count), steps) if count else None

    def _drawn(self, count: int) -> Tensor:
        rng = replace(self.rng, images=torch.arange(count), stream=(*self.rng.stream, self.turns))
        return self.certifier.reach.sample(self.x.float().expand(count, *self.x.shape[1:]), rng)

    def _descended(self, points: Tensor, reach: Tensor, steps: int) -> Tensor | None:
        """Take steps of decreasing length, at first `reach` (N,) radii; remember the best points."""
        threat, graph = self.certifier.reach, self.certifier.rough
        x = self.x.float().expand(len(points), *self.x.shape[1:])
        labels = self.y.expand(len(points))
        at = threat.project(x, points)
        best, least = at, torch.full((len(points),), torch.inf)
        for turn in range(steps + 1):
            self.passes.book(forwards=len(at), backwards=len(at))
            with torch.enable_grad():
                leaf = at.detach().requires_grad_(True)
                margin = _margin(graph(leaf), labels)
                (gradient,) = torch.autograd.grad(margin.sum(), leaf)
            better = margin.detach() < least
            least = torch.where(better, margin.detach(), least)
            best = torch.where(per_image(better, at), at, best)
            if bool((least < 0).any()):
                break
            length = threat.eps * reach * (1 - turn / (steps + 1)) ** 1.5
            at = threat.project(x, at - per_image(length, at) * threat.norm.ascent(gradient))
        self._remember(least, best)
        wrong = (least <= 0).nonzero().squeeze(1)
        point = self._confirmed(best[wrong].detach())
        if point is None and self.budget.polish is not None:
            places = least.argsort()[:3].tolist()
            self.pool += [(float(least[i]), best[i : i + 1].detach()) for i in places]
            self.pool = sorted(self.pool, key=itemgetter(0))[:32]
        return point

    def _remember(self, margins: Tensor, points: Tensor) -> None:
        """Keep the point (N, ...) of the smallest margin (N,), if it is smaller than any before."""
        if len(margins) and float(margins.min()) < self.least:
            number = int(margins.argmin())
            self.least, self.closest = float(margins[number]), points[number].detach().clone()

    def _polished(self, until: float) -> Tensor | None:
        """Improve the best point not improved yet by integer programming."""
        if not self.pool or self.certifier.threat.norm.name != "Linf":
            return None
        _, point = self.pool.pop(0)
        outputs = self.certifier.rough(point)[0]
        function = torch.zeros(len(outputs), dtype=torch.float64)
        function[self.y[0]] = 1.0
        outputs = outputs.index_fill(0, self.y, -torch.inf)
        function[int(outputs.argmax())] = -1.0
        region = Region.around(self.x, self.certifier.threat)
        point = descended(self.certifier.exact, self.certifier.rough, region, point, function, until)
        point = self.certifier.reach.project(self.x.float(), point.float())
        self._remember(_margin(self.certifier.rough(point), self.y).detach(), point)
        self.passes.book(forwards=1)
        return self._confirmed(point)

    def _confirmed(self, points: Tensor) -> Tensor | None:
        """Return the first of the points (N, ...) that is admissible and that the model itself gets wrong."""
        if not len(points):
            return None
        self.passes.book(forwards=len(points))
        x, labels = self.x.float().expand(len(points), *self.x.shape[1:]), self.y.expand(len(points))
        breaks = ~self.certifier.right(points, labels) & self.certifier.threat.admits(x, points)
        return points[int(breaks.nonzero()[0])] if bool(breaks.any()) else None


def _margin(outputs: Tensor, y: Labels) -> Tensor:
    """Return the true class's output minus the largest other, (B,)."""
    others = outputs.scatter(1, y[:, None], -torch.inf).amax(dim=1)
    return outputs.gather(1, y[:, None]).squeeze(1) - others
