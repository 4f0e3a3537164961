"""Square: random search by square windows that asks the model for scores only."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from attacks.shared.options import at_least, finite_radius, positive, share
from attacks.shared.tries import strongest
from robench.attack.protocol import AttackInfo, Knowledge
from robench.errors import ConfigError
from robench.papers import paper

if TYPE_CHECKING:
    from robench.attack.losses import Loss
    from robench.attack.oracle import Oracle
    from robench.randomness import Randomness
    from robench.types import Images, Mask, PerSample

    Watch = Callable[[PerSample, int], Mask]

BLOCK = 256  # queries whose random numbers are drawn at once


@dataclass(frozen=True, slots=True, kw_only=True)
class Square:
    """Change one random square window at a time, and keep the change if it helps.

    Andriushchenko et al. 2020 (arXiv:1912.00049), Algorithms 1-3; under L1 as in Croce & Hein 2021
    (arXiv:2103.01208). Every image has windows of its own. In a joint batch each image keeps a change by its
    own score, as if the others did not move.

    Attributes:
        queries: forward passes for each image and try, the first point included.
        restarts: number of tries.
        first_share: share of the pixels that the first windows cover; it is halved as the search goes on.
        loss: `margin` of logits or log-probabilities, or `cross_entropy`.
        rescale: fit the moments of halving, which the paper gives for 10,000 queries, to `queries`.
            AutoAttack does not.
    """

    info: ClassVar[AttackInfo] = AttackInfo(
        identity="attacks.square:Square",
        title="Square",
        paper="Andriushchenko et al. 2020, arXiv:1912.00049",
        bibtex=paper("andriushchenko2020square"),
        norms=("Linf", "L2", "L1"),
        knowledge=Knowledge.SCORE,
        randomised=True,
        own_source="scores",
    )
    queries: int = 5000
    restarts: int = 1
    first_share: float = 0.8
    loss: Literal["margin", "cross_entropy"] = "margin"
    rescale: bool = True

    def __post_init__(self) -> None:
        """Refuse invalid options."""
        at_least(1, queries=self.queries, restarts=self.restarts)
        positive(first_share=self.first_share)
        share(first_share=self.first_share)
        if self.loss not in ("margin", "cross_entropy"):
            raise ConfigError(where="loss", expected="`margin` or `cross_entropy`", got=repr(self.loss))

    def __call__(self, oracle: Oracle, rng: Randomness) -> Images:
        """Return the best point of the strongest try; see `robench.attack.Attack`.

        Raises:
            ConfigError: the radius is infinite.
        """
        from robench.attack.losses import cross_entropy, score_margin

        finite_radius(oracle.threat.eps, "Square")
        loss = cross_entropy if self.loss == "cross_entropy" else score_margin

        def attempt(restart: int) -> Images:
            return self.search(oracle, loss, rng.split("restart", restart))

        return strongest(oracle, self.restarts, attempt, loss)

    def search(
        self,
        oracle: Oracle,
        loss: Loss,
        rng: Randomness,
        watch: Watch | None = None,
        start: Images | None = None,
    ) -> Images:
        """Return the point of highest loss met in one try, (B, C, H, W).

        Args:
            oracle: the road to the model, under a finite radius.
            loss: what to raise.
            rng: the try's randomness.
            watch: asked after every query which images go on, with the highest loss (B,) met so far and the
                number of queries spent; all do by default.
            start: first point of each image, inside ball and box, (B, C, H, W), under Linf; by default
                Square's own, at random.
        """
        import torch

        from attacks.query.square_windows import area, bumps_everywhere, move_mass, numbers, paint, stripes
        from robench.attack.norms import per_image

        x, threat = oracle.x, oracle.threat
        flat = threat.norm.name == "Linf"
        if start is not None:
            best = start
        else:
            best = stripes(x, threat, rng) if flat else bumps_everywhere(x, threat, rng)
        move = paint if flat else move_mass
        value = oracle.value(loss, best)
        many = x.new_empty(len(x), BLOCK, numbers(x))
        going = torch.ones_like(oracle.broken)
        for query in range(self.queries - 1):
            if watch is not None:
                going = going & watch(value, query + 1)
            if oracle.finished or not bool((going & oracle.active).any()):
                break
            if query % BLOCK == 0:
                draws = rng.uniform(many)
            share = area(query, queries=self.queries, first=self.first_share, rescale=self.rescale)
            side = round(math.sqrt(share * x.shape[2] * x.shape[3]))
            point = move(x, best, min(max(side, 1), *x.shape[2:]), threat, draws[:, query % BLOCK])
            with oracle.only(going):
                new_value = oracle.value(loss, point)
            better = new_value > value
            value = torch.where(better, new_value, value)
            best = torch.where(per_image(better, x), point, best)
        return best
