"""sigma-zero: a smooth count of the values that change, and a threshold under which changes are dropped."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from attacks.minimal.ddn import anneal
from attacks.minimal.fewer_values import fewer_values
from attacks.minimal.smallest_change import SmallestChange
from attacks.shared.options import at_least, not_negative, positive
from robench.attack.protocol import AttackInfo
from robench.papers import paper

if TYPE_CHECKING:
    from robench.attack.oracle import Oracle
    from robench.randomness import Randomness
    from robench.types import Images


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """Factors on the constants of a descent."""

    step_size: float = 1.0
    sigma: float = 1.0
    threshold: float = 1.0
    rate: float = 1.0


WAYS = (
    Way(),
    Way(sigma=10.0),
    Way(step_size=0.3, threshold=1 / 3),
    Way(step_size=0.5, rate=3.0),
)
"""Factors of the tries, in order: if one descent ends with many values, another often ends with few."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SigmaZero:
    """Descend on the lead of the true class plus a smooth count of the values that change.

    Cina et al. 2025 (arXiv:2402.01879), Algorithm 1: a change d counts for d^2 / (d^2 + sigma), the gradient
    is divided by its largest entry, and changes below a threshold become zero again after every step.
    Steps are those of Adam, as in the authors' released code.
    The threshold rises while an image is broken and falls while it is not. A radius, if there is one, only
    decides which points count, and ends the search of an image if only the verdict is wanted.

    Two things differ from the paper. Later tries have other constants: if one descent ends with many values,
    another often ends with few. At the end changed values are reset, one less at a time
    (`attacks.minimal.fewer_values`).

    Attributes:
        steps: gradient steps of a try; the paper uses 100 and 1000 in its one try.
        step_size: first length of a step, largest entry, in units of the box; it falls to a tenth along a
            cosine.
        sigma: how sharply a change counts.
        threshold: first size below which a change is dropped.
        rate: by how much of the step size the threshold changes each step.
        restarts: tries, with other constants each (`WAYS`); the values above are those of the first.
        removals: most attempts at the end to succeed with one changed value less; 0 for none.
    """

    info: ClassVar[AttackInfo] = AttackInfo(
        title="sigma-zero",
        paper="Cina et al. 2025, arXiv:2402.01879",
        bibtex=paper("cina2025sigma"),
        norms=("L0",),
        minimises=True,
        revision=3,
    )
    steps: int = 300
    step_size: float = 1.0
    sigma: float = 1e-3
    threshold: float = 0.3
    rate: float = 0.01
    restarts: int = 4
    removals: int = 100

    def __post_init__(self) -> None:
        """Refuse invalid options."""
        at_least(1, steps=self.steps, restarts=self.restarts)
        at_least(0, removals=self.removals)
        positive(step_size=self.step_size, sigma=self.sigma)
        not_negative(threshold=self.threshold, rate=self.rate)

    def __call__(self, oracle: Oracle, _rng: Randomness) -> Images:
        """Return the last point, projected; the oracle keeps the smallest; see `robench.attack.Attack`."""
        x_adv, smallest = oracle.x, SmallestChange(oracle)
        for number in range(self.restarts):
            if number and oracle.finished:
                break
            oracle.begin_try()
            x_adv = self._descend(oracle, smallest, WAYS[number % len(WAYS)])
        fewer_values(oracle, smallest, removals=self.removals)
        return oracle.threat.project(oracle.x, x_adv)

    def _descend(self, oracle: Oracle, smallest: SmallestChange, way: Way) -> Images:
        """Return the end points (B, C, H, W) of a descent from the clean images."""
        import torch

        from attacks.shared.adam import Adam
        from robench.attack.losses import ranked_margin
        from robench.attack.norms import LINF, per_image

        x, threat = oracle.x, oracle.threat
        loss, count, width = (
            ranked_margin(),
            x[0].numel() if len(x) else 1,
            threat.bounds[1] - threat.bounds[0],
        )
        sigma, first = way.sigma * self.sigma, way.step_size * self.step_size
        x_adv, delta, adam = x, torch.zeros_like(x), Adam.at_rest(x)
        threshold = x.new_full((len(x),), way.threshold * self.threshold)
        for step in range(self.steps):
            if oracle.finished:
                break
            with smallest.meeting(x_adv):
                gradient = oracle.gradient(loss, x_adv)
            is_broken = oracle.reached
            uphill = gradient.where(~per_image(is_broken, x), 0.0)
            fraction = delta / width
            smooth = 2 * sigma * fraction / (fraction.square() + sigma).square() / count / width
            descent = smooth - uphill
            largest = LINF.size(descent)
            descent = descent / per_image(largest.where(largest > 0, 1.0), x)
            length = anneal(first, first / 10, step / self.steps)
            change = threat.clip(x + delta - length * width * adam.direction(descent)) - x
            rise = way.rate * self.rate * length
            threshold = (threshold + rise * torch.where(is_broken, 1.0, -1.0)).clamp(0, 1)
            delta = change.where(change.abs() >= width * per_image(threshold, x), 0.0)
            x_adv = threat.clip(x + delta)
            delta = x_adv - x
        with smallest.meeting(x_adv):
            oracle.outputs(x_adv)
        return x_adv
