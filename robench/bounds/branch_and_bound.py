"""Branch and bound over the signs of rectifiers: a certificate, an adversarial image, or a smaller gap.

Bunel et al. 2020 (JMLR 21) as a scheme; beta-CROWN (Wang et al. 2021, arXiv:2103.06624) as the bound; starts for
gradients inside of promising subdomains after Zhang et al. 2022 (arXiv:2206.06589).
"""

from __future__ import annotations

import heapq
import itertools
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum

import torch
from torch import Tensor

from robench.bounds.branching import Domains, Splitter
from robench.bounds.network import Bounded


class Verdict(StrEnum):
    """What is known about an image."""

    CERTIFIED = "certified"
    BROKEN = "broken"
    UNDECIDED = "undecided"


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """When branch and bound gives up, and how it works.

    Attributes:
        seconds: for an image; None for no limit.
        domains: most subdomains bounded for an image; None for no limit.
        batch: subdomains split at a time.
        steps: of Adam for each new subdomain.
        root_steps: of Adam for the whole region.
        candidates: rectifiers tried by each of two scores before one is split.
        attacked: of each batch, how many minimisers are starts for gradients.
    """

    seconds: float | None = 60.0
    domains: int | None = None
    batch: int = 32
    steps: int = 12
    root_steps: int = 40
    candidates: int = 4
    attacked: int = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What branch and bound found out about one image.

    Attributes:
        verdict: certified, broken or undecided.
        bound: a lower bound of the smallest margin over the region, valid for real numbers.
        x_adv: (C, H, W) an adversarial image, where one was found.
        domains: subdomains bounded.
        seconds: spent.
    """

    verdict: Verdict
    bound: float
    x_adv: Tensor | None
    domains: int
    seconds: float


Attack = Callable[[Tensor], Tensor | None]
"""Points (N, C, H, W), about in the region, to one adversarial image (C, H, W), or None."""


def branch_and_bound(
    found: Bounded, functions: Tensor, attack: Attack, budget: Budget, *, above: float = 0.0
) -> Outcome:
    """Decide whether functions of the outputs stay above a number in the region around one image.

    Args:
        found: bounds over the whole region, of one image.
        functions: (F, K) functions of the outputs, such as true class minus rival.
        attack: looks for an adversarial image near the points that bounds are reached at.
        budget: when to give up.
        above: what the functions must stay above.
    """
    search = _Search(Splitter.of(found), attack, budget, above)
    return search.run(functions)


@dataclass(slots=True, eq=False)
class _Search:
    splitter: Splitter
    attack: Attack
    budget: Budget
    above: float
    started: float = 0.0
    domains: int = 0
    closed: float = float("inf")  # the least bound among subdomains that are done

    def run(self, functions: Tensor) -> Outcome:
        self.started = time.perf_counter()
        layout = self.splitter.layout
        count = len(functions)
        usual = layout.pack({n: self.splitter.rough.lines[n].usual for n in layout.number}) if layout.number else torch.zeros(1, 0)
        roots = Domains(
            functions,
            torch.zeros(count, layout.width, dtype=torch.int8),
            usual.expand(count, -1).clone(),
            torch.zeros(count, layout.width),
            torch.full((count,), -torch.inf, dtype=torch.float64),
        )
        order = itertools.count()
        waiting: list[tuple[float, int, Domains]] = []
        fresh, steps = roots, self.budget.root_steps
        while True:
            bounded, points = self._bounded(fresh, steps)
            steps = self.budget.steps
            x_adv = self._attacked(bounded, points)
            if x_adv is not None:
                lowest = min(self.closed, float(bounded.bound.min()), waiting[0][0] if waiting else torch.inf)
                return self._outcome(Verdict.BROKEN, lowest, x_adv)
            for i, bound in enumerate(bounded.bound.tolist()):
                if bound > self.above:
                    self.closed = min(self.closed, bound)
                else:
                    heapq.heappush(waiting, (bound, next(order), bounded.of([i])))
            if not waiting:
                return self._outcome(Verdict.CERTIFIED, self.closed, None)
            if self._spent():
                return self._outcome(Verdict.UNDECIDED, min(waiting[0][0], self.closed), None)
            taken = [heapq.heappop(waiting)[2] for _ in range(min(self.budget.batch, len(waiting)))]
            parents = Domains.joined(taken)
            neuron = self.splitter.chosen(parents, self.budget.candidates) if layout.width else torch.full((len(parents),), -1)
            if bool((neuron < 0).any()):
                # Every sign is decided and the bound is still not above: within rounding of the threshold.
                lowest = min(float(parents.bound.min()), self.closed)
                return self._outcome(Verdict.UNDECIDED, lowest, None)
            fresh = self.splitter.halves(parents, neuron)

    def _bounded(self, domains: Domains, steps: int) -> tuple[Domains, Tensor]:
        """Return subdomains with their bounds, and the points where these are reached."""
        self.domains += len(domains)
        better = self.splitter.improved(domains, steps=steps, slope_step=0.1, pressure_step=0.1) if self.splitter.layout.width else domains
        bound, points = self.splitter.exact_bounds(better)
        return replace(better, bound=torch.maximum(bound, domains.bound)), points

    def _attacked(self, domains: Domains, points: Tensor) -> Tensor | None:
        open_ = (domains.bound <= self.above).nonzero().squeeze(1)
        if not len(open_) or not self.budget.attacked:
            return None
        chosen = open_[domains.bound[open_].argsort()[: self.budget.attacked]]
        return self.attack(points[chosen])

    def _spent(self) -> bool:
        seconds, domains = self.budget.seconds, self.budget.domains
        late = seconds is not None and time.perf_counter() - self.started >= seconds
        return late or (domains is not None and self.domains >= domains)

    def _outcome(self, verdict: Verdict, bound: float, x_adv: Tensor | None) -> Outcome:
        seconds = time.perf_counter() - self.started
        return Outcome(verdict=verdict, bound=bound, x_adv=x_adv, domains=self.domains, seconds=seconds)
