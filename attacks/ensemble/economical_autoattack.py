"""An economical AutoAttack: the same four attacks, with passes spent only where they may break something."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

from attacks.ensemble.branch_and_bound import BranchAndBoundAttack
from attacks.shared.options import at_least, finite_radius, positive
from robench.attack.protocol import AttackInfo
from robench.errors import ConfigError
from robench.papers import paper
from robench.plan import LATER

if TYPE_CHECKING:
    from collections.abc import Callable

    from attacks.ensemble.cascade_stages import CascadeStages
    from robench.attack.oracle import Oracle
    from robench.attack.threat import ThreatModel
    from robench.model.interface import Model
    from robench.randomness import Randomness
    from robench.types import Images


SHARES = (0.05, 0.01)
"""Share of an image covered by the first windows of a search from worst points: first round, later rounds."""

INSIDE = 1.0
"""Largest linearised distance, in radii, of a close call after round one: its boundary is in the ball."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EconomicalAutoAttack:
    """APGD, targeted APGD, FAB and Square, each only as long as an image has prospects of being broken.

    A heuristic of our own after AutoAttack (Croce & Hein 2020, arXiv:2003.01690), with two ideas of Adaptive
    Auto Attack (Liu et al. 2022, arXiv:2203.05154): start where earlier tries ended, and leave out the images
    that are hard to break. There, images are dropped by their rank in the batch; here every rule looks at one
    image alone (`attacks.ensemble.stopping_rules`), so that a result depends on neither batch nor shard.

    1. APGD on cross-entropy, `first_steps` steps, on all images.
    2. Wrong classes in the order of their linearised distance, seen from the worst point so far. Targeted
       APGD of `steps` steps from that point, for each class no farther than `far` radii; it stops at the
       checkpoint where its last progress does not lead to the boundary any more.
    3. Distances anew. Close calls, with a boundary within `near` radii: FAB of `fab_steps` steps from the
       clean image, as long as it shrinks fast enough, to those of the nearest `fab_classes` classes.
    4. Close calls, `rounds` times; from the second round on only those whose boundary, as seen from the worst
       point by then, enters the ball:
       a. APGD of `near_steps` steps from random points: `near_tries` times on cross-entropy, then towards
          each of the nearest `fab_classes` classes that is that near.
       b. Square from its own start, `queries` long, then APGD on the margin from where it ended, `end_steps`
          short steps. Square walks to places that no ascent from a random point comes to (Andriushchenko et
          al. 2020, arXiv:1912.00049), and the ascent takes the last bit, on which Square spends most of its
          queries: of all that was tried the two together break most of these images for their passes.
       c. Under Linf, `refine_queries` of random search that starts at the worst point so far and repaints
          small windows of it, as Square does.
    5. Of Square every image gets `least_queries` in each round, however hopeless, because nothing else sees
       through masked gradients, and all `queries` where it has come as far as the gradients by then.

    It can miss what AutoAttack finds: a far class whose boundary bends towards the image, and an ascent that
    gains too little from one checkpoint to the next and then breaks through. Under L1 an ascent runs to its
    end, because its balls shrink on the way. All images of a joint batch are asked while one may still break.

    Attributes:
        first_steps: steps of the first APGD.
        steps: most steps of APGD towards each class, from the worst point so far.
        classes: most wrong classes to aim at, the likeliest at the worst point of the first APGD.
        far: most linearised distance, in radii, at which a class is aimed at.
        fab_steps: most steps of FAB towards each class.
        fab_classes: most classes for FAB and for targeted APGD on close calls.
        near: most linearised distance, in radii, of a close call.
        rounds: how often close calls are attacked with new random numbers.
        near_steps: steps of each APGD from a random point of a close call.
        near_tries: random points, in each round, from which it climbs the cross-entropy.
        least_queries: queries of Square for every image, in each round.
        queries: queries of Square on a close call, in each round.
        end_steps: steps of APGD from where Square ended.
        refine_queries: queries, in each round, of the search from the worst point of a close call.
        branch_and_bound: seconds of `branch_and_bound` for each image that stands at the end; None for none.
    """

    info: ClassVar[AttackInfo] = AttackInfo(
        identity="attacks.economical:EconomicalAutoAttack",
        title="Economical AutoAttack",
        paper=(
            "Croce & Hein 2020, arXiv:2003.01690 (the attacks); "
            "Liu et al. 2022, arXiv:2203.05154 (sparing passes)"
        ),
        bibtex=paper(
            "croce2020reliable",
            "croce2021mind",
            "croce2020minimally",
            "andriushchenko2020square",
            "liu2022practical",
        ),
        norms=("Linf", "L2", "L1"),
        randomised=True,
        revision=4,
    )
    first_steps: int = 40
    steps: int = 20
    classes: int = 9
    far: float = 1.3
    fab_steps: int = 30
    fab_classes: int = 3
    near: float = 1.05
    rounds: int = 3
    near_steps: int = 25
    near_tries: int = 5
    least_queries: int = 50
    queries: int = 1500
    end_steps: int = 100
    refine_queries: int = 500
    branch_and_bound: float | None = field(default=None, metadata=LATER)

    def __post_init__(self) -> None:
        """Refuse invalid options."""
        at_least(1, first_steps=self.first_steps, steps=self.steps, classes=self.classes)
        at_least(1, fab_steps=self.fab_steps, fab_classes=self.fab_classes, near_steps=self.near_steps)
        at_least(1, near_tries=self.near_tries, rounds=self.rounds, end_steps=self.end_steps)
        at_least(
            2, least_queries=self.least_queries, queries=self.queries, refine_queries=self.refine_queries
        )
        positive(far=self.far, near=self.near, branch_and_bound=self.branch_and_bound)
        if self.near > self.far:
            raise ConfigError(where="near", expected=f"at most far, {self.far:g}", got=f"{self.near:g}")
        if self.least_queries > self.queries:
            expected = f"at most queries, {self.queries}"
            raise ConfigError(where="least_queries", expected=expected, got=str(self.least_queries))

    def __call__(self, oracle: Oracle, rng: Randomness) -> Images:
        """Return each image's point of the highest margin; the oracle has the one that broke it.

        Raises:
            ConfigError: the radius is infinite.
        """
        from attacks.ensemble.cascade_stages import CascadeStages

        finite_radius(oracle.threat.eps, "the economical AutoAttack")
        cascade = CascadeStages(oracle)
        stages: list[Callable[[], None]] = [
            lambda: cascade.open(self.first_steps, rng.split("apgd-ce")),
            lambda: cascade.aim(self.classes),
            lambda: cascade.ascend(self.steps, self.far),
            lambda: cascade.narrow(self.fab_classes, self.far),
            lambda: cascade.project(self.fab_steps, self.near),
        ]
        for number in range(self.rounds):
            if number > 0:
                stages.append(lambda: cascade.narrow(self.fab_classes, self.near))
            stages += self._round(cascade, rng.split("round", number), number)
        if (seconds := self.branch_and_bound) is not None:
            parts = BranchAndBoundAttack(seconds=seconds)
            stages.append(lambda: cascade.worst.replace(parts(oracle, rng.split("branch-and-bound"))))
        for stage in stages:
            standing = cascade.standing
            if oracle.finished or not bool(standing.any()):
                break
            oracle.begin_try()
            with oracle.only(standing):
                stage()
        return cascade.worst.points

    def check_model(self, model: Model, threat: ThreatModel, shape: tuple[int, ...]) -> None:
        """Refuse a model that `branch_and_bound`, if it is used, cannot bound.

        Raises:
            ConfigError: names the layer.
        """
        if self.branch_and_bound is not None:
            BranchAndBoundAttack().check_model(model, threat, shape)

    def _round(self, cascade: CascadeStages, rng: Randomness, number: int) -> list[Callable[[], None]]:
        """Return the stages of one round, with their own random numbers."""
        near = self.near if number == 0 else min(self.near, INSIDE)
        share = SHARES[min(number, len(SHARES) - 1)]
        return [
            lambda: cascade.insist(self.near_steps, self.near_tries, near, rng.split("apgd")),
            lambda: cascade.search(
                self.least_queries, self.queries, self.end_steps, near, rng.split("square")
            ),
            lambda: cascade.refine(self.refine_queries, share, near, rng.split("refine")),
        ]
