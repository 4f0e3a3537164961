"""The search over subdomains: worst first, in batches, until all are done, the image breaks, or time is up.

Bunel et al. 2020 (JMLR 21) as a scheme; beta-CROWN (Wang et al. 2021, arXiv:2103.06624) as the bound.
"""

from __future__ import annotations

import heapq
import itertools
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from enum import StrEnum

import torch
from torch import Tensor

from robench.bounds.branching import Domains, Splitter
from robench.errors import ConfigError
from robench.types import OutputFunctions

_LEAF_STEPS = 100
"""Steps of Adam, twice, for the multipliers of a subdomain that cannot be split further."""

Attack = Callable[[Tensor, float], Tensor | None]
"""Points (N, C, H, W), about in the region, and when to stop (`time.perf_counter`) to one adversarial image
(C, H, W), or None."""


class Verdict(StrEnum):
    """Result for an image."""

    CERTIFIED = "certified"
    BROKEN = "broken"
    UNDECIDED = "undecided"


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """Limits and settings of branch and bound.

    Attributes:
        seconds: for an image; None for no limit.
        domains: most subdomains bounded for an image; None for no limit.
        batch: subdomains split at a time.
        steps: of Adam for each new subdomain.
        root_steps: of Adam for the whole region.
        candidates: rectifiers tried by each of two scores before one is split.
        step_sizes: the first of Adam for slopes and for multipliers.
        attacked: number of minimisers of bounds per batch that are starts for gradients.
        restarts: number of random starts beside them.
        polish: after how many batches the best point is improved by integer programming
            (`robench.bounds.local_search`, under Linf); None for never.

    Raises:
        ConfigError: a limit or a count is invalid.
    """

    seconds: float | None = 60.0
    domains: int | None = None
    batch: int = 32
    steps: int = 6
    root_steps: int = 40
    candidates: int = 3
    step_sizes: tuple[float, float] = (0.1, 0.1)
    attacked: int = 4
    restarts: int = 4
    polish: int | None = None

    @classmethod
    def attacking(cls, seconds: float | None = 120.0) -> Budget:
        """Return a budget mainly for finding adversarial images, for networks that probably have some."""
        return cls(seconds=seconds, attacked=16, restarts=48, polish=16)

    def __post_init__(self) -> None:
        """Refuse invalid numbers."""
        least = {"batch": 1, "steps": 0, "root_steps": 0, "candidates": 1, "attacked": 0, "restarts": 0}
        optional = {"domains": 1, "polish": 1}
        for name, low in (least | optional).items():
            value, none = getattr(self, name), ", or None" if name in optional else ""
            whole = isinstance(value, int) and not isinstance(value, bool) and value >= low
            if not whole and not (value is None and name in optional):
                expected = f"a whole number of at least {low}{none}"
                raise ConfigError(where=name, expected=expected, got=repr(value))
        if self.seconds is not None and not (_number(self.seconds) and self.seconds >= 0):
            expected = "a finite time of at least 0, or None"
            raise ConfigError(where="seconds", expected=expected, got=repr(self.seconds))
        sizes = self.step_sizes
        pair = isinstance(sizes, tuple) and len(sizes) == 2
        if not pair or not all(_number(size) and size >= 0 for size in sizes):
            expected = "two finite numbers of at least 0"
            raise ConfigError(where="step_sizes", expected=expected, got=repr(sizes))


def _number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """Result of branch and bound for one image.

    Attributes:
        verdict: certified, broken or undecided.
        bound: a lower bound of the smallest margin over the region, before a final softmax, valid for real
            numbers, for every verdict.
        x_adv: (C, H, W) an adversarial image, if one was found.
        domains: subdomains bounded.
        seconds: spent.
        closest: (C, H, W) the point of the region with the smallest margin that gradients found; the image
            itself if no gradients were used.
        forwards: passes spent on it, see `robench.bounds.passes`.
        backwards: the same, backward.
    """

    verdict: Verdict
    bound: float
    x_adv: Tensor | None
    domains: int
    seconds: float
    closest: Tensor | None = None
    forwards: int = 0
    backwards: int = 0


@dataclass(slots=True, eq=False)
class Search:
    """Decides whether functions of the outputs stay above a number in the region around one image.

    Args:
        splitter: bounds subdomains of the region.
        attack: searches an adversarial image near the minimisers of bounds.
        budget: limits of the search.
        above: the functions must stay above this number.

    Attributes:
        domains: subdomains bounded so far.
        closed: the least bound of the finished subdomains.
        stuck: the least bound of subdomains that cannot be split further and are not above.
    """

    splitter: Splitter
    attack: Attack
    budget: Budget
    above: float = 0.0
    started: float = field(default_factory=time.perf_counter)
    domains: int = 0
    closed: float = math.inf
    stuck: float = math.inf

    def run(self, functions: OutputFunctions) -> Outcome:
        """Return the outcome for functions (F, K) of the outputs, such as true class minus rival."""
        order = itertools.count()
        waiting: list[tuple[float, int, Domains]] = []
        fresh, steps = self.splitter.root(functions), self.budget.root_steps
        while True:
            children, points = self._bounded(fresh, steps)
            x_adv = self._attacked(children, points)
            is_proven = children.bound > self.above
            self.closed = min([self.closed, *children.bound[is_proven].tolist()])
            for i in (~is_proven).nonzero().squeeze(1).tolist():
                heapq.heappush(waiting, (float(children.bound[i]), next(order), children.of([i])))
            least = min(self.closed, self.stuck, waiting[0][0] if waiting else math.inf)
            if x_adv is not None:
                return self._outcome(Verdict.BROKEN, least, x_adv)
            if not waiting:
                verdict = Verdict.CERTIFIED if self.stuck == math.inf else Verdict.UNDECIDED
                return self._outcome(verdict, least, None)
            if self._spent():
                return self._outcome(Verdict.UNDECIDED, least, None)
            leaves = [heapq.heappop(waiting)[2] for _ in range(min(self.budget.batch, len(waiting)))]
            parents = Domains.joined(leaves)
            neuron = self.splitter.chosen(parents, self.budget.candidates)
            self._settle(parents.of(neuron < 0))
            fresh, steps = (
                self.splitter.halves(parents.of(neuron >= 0), neuron[neuron >= 0]),
                self.budget.steps,
            )

    def _settle(self, leaves: Domains) -> None:
        """Bound subdomains that cannot be split further as tightly as possible; some may stay below."""
        if not len(leaves):
            return
        for size in (0.3, 0.03):
            better = self.splitter.improved(leaves, steps=_LEAF_STEPS, step_sizes=(0.0, size))
            bound = torch.maximum(self.splitter.exact_bounds(better)[0], leaves.bound)
            leaves = replace(better, bound=bound)
        is_proven = leaves.bound > self.above
        self.closed = min([self.closed, *leaves.bound[is_proven].tolist()])
        self.stuck = min([self.stuck, *leaves.bound[~is_proven].tolist()])

    def _bounded(self, domains: Domains, steps: int) -> tuple[Domains, Tensor]:
        """Return subdomains with their bounds, and the minimisers of these."""
        self.domains += len(domains)
        if not len(domains):
            return domains, torch.zeros(0)
        better = self.splitter.improved(domains, steps=steps, step_sizes=self.budget.step_sizes)
        bound, points = self.splitter.exact_bounds(better)
        return replace(better, bound=torch.maximum(bound, domains.bound)), points

    def _attacked(self, domains: Domains, points: Tensor) -> Tensor | None:
        open_ = (domains.bound <= self.above).nonzero().squeeze(1)
        if not len(open_) or not self.budget.attacked + self.budget.restarts:
            return None
        rows = open_[domains.bound[open_].argsort()[: self.budget.attacked]]
        end = math.inf if self.budget.seconds is None else self.started + self.budget.seconds
        return self.attack(points[rows], end)

    def _spent(self) -> bool:
        seconds, domains = self.budget.seconds, self.budget.domains
        late = seconds is not None and time.perf_counter() - self.started >= seconds
        return late or (domains is not None and self.domains >= domains)

    def _outcome(self, verdict: Verdict, bound: float, x_adv: Tensor | None) -> Outcome:
        seconds = time.perf_counter() - self.started
        return Outcome(verdict=verdict, bound=bound, x_adv=x_adv, domains=self.domains, seconds=seconds)
