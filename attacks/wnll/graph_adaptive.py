"""The adaptive attack on graph heads: every gradient source in turn, the worst kept for each image."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

from attacks.gradient.pgd import madry_step
from attacks.shared.options import at_least, finite_radius, positive
from attacks.shared.tries import StrongestPoints
from attacks.wnll.attacker_sources import nearest_classes, sources_of
from robench.attack.protocol import AttackInfo
from robench.papers import paper
from robench.plan.spec import LATER

if TYPE_CHECKING:
    from robench.attack.losses import Loss
    from robench.attack.oracle import Oracle
    from robench.model.interface import GradientSource, OutputKind
    from robench.randomness import Randomness
    from robench.types import Images, Labels, Outputs, PerSample

Stage = tuple["GradientSource", "Loss", "Labels | None"]
Refine = Callable[["Images", "GradientSource"], "Images"]


def approach(outputs: Outputs, target: Labels, kind: OutputKind) -> PerSample:
    """Return the difference (B,) of the target's score to the largest other: the margin of the target."""
    from robench.attack.losses import margin

    return -margin(outputs, target, kind)


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphAdaptive:
    """Projected steepest ascent through every gradient source a model has, with both losses.

    Written for classifiers by neighbours (WNLL heads), by an attacker who knows the template: the model's own
    sources, the kernel density at several temperatures, and the pull towards the nearest template images of
    other classes (`attacks.wnll.attacker_sources.py`). Three parts, each only on images that still stand:

    1. From the clean image, each source in turn, cheap ones first, with cross-entropy and with the margin;
       then, through `neighbours`, towards each of the nearest other classes.
    2. The same from random points, `restarts - 1` times; and from one more, through the last source, with the
       margin and steps that every image halves for itself (Auto-PGD, `attacks/gradient/apgd_loop.py`).
    3. From the point with the highest margin so far, each source once more with the margin and Auto-PGD's
       steps: at this point u is rarely saturated, and the exact gradient is useful.

    A joint graph is evaluated on whole batches only. Parts 1 and 2 then attack all its images; part 3 starts
    from a batch of each image's worst point, evaluated again, in which broken images are not moved and the
    others are attacked further. The proposal is the batch, of all evaluated ones, that broke the most images:
    a lower bound of the image-by-image worst case over several batches.

    Without neighbourhoods and with one source, as for a linear head, it is PGD with both losses, and then
    Auto-PGD.

    Attributes:
        steps: number of steps of each try.
        step_size: length of a fixed step in input units; by default 2.5 eps / steps. Auto-PGD's
            first step is eps long.
        restarts: 1 starts from the clean image only; each further one starts once more, at random.
        temperatures: temperatures of the kernel source, beside the model's own.
        guides: how many of the nearest other classes are approached in turn.
        merge: for a joint batch, forward passes of the whole batch at the end. Points that broke images in
            other batches are put into the best batch, image by image, if the number of broken images does not
            fall; then, once through each source, the images that stand are attacked in that batch and new
            points are merged again. 0 for none.
    """

    info: ClassVar[AttackInfo] = AttackInfo(
        identity="attacks.graph_adaptive:GraphAdaptive",
        title="Graph-adaptive",
        paper=(
            "Tramer et al. 2020, arXiv:2002.08347 (adaptive attacks); Sitawarin & Wagner 2020, "
            "arXiv:2003.06559 (neighbours); Wang & Osher 2019, arXiv:1907.06800 (the head)"
        ),
        bibtex=paper("tramer2020adaptive", "sitawarin2020minimum", "wang2019graph"),
        norms=("Linf", "L2"),
        randomised=True,
        own_source="adaptive",
        revision=2,
    )
    steps: int = 40
    step_size: float | None = None
    restarts: int = 1
    temperatures: tuple[float, ...] = (4.0,)
    guides: int = 2
    merge: int = field(default=0, metadata=LATER)

    def __post_init__(self) -> None:
        """Refuse invalid options."""
        at_least(1, steps=self.steps, restarts=self.restarts)
        at_least(0, guides=self.guides, merge=self.merge)
        positive(step_size=self.step_size)
        for tau in self.temperatures:
            positive(temperatures=tau)

    def __call__(self, oracle: Oracle, rng: Randomness) -> Images:
        """Return the worst point found for each image; see `robench.attack.Attack`.

        Raises:
            ConfigError: the radius is infinite.
        """
        from attacks.gradient.apgd_loop import Climb, climb
        from robench.attack.losses import margin

        x, threat = oracle.x, oracle.threat
        eps = finite_radius(threat.eps, "the adaptive attack")
        step_size = madry_step(eps, self.steps) if self.step_size is None else self.step_size
        worst = StrongestPoints(oracle)
        sources = sources_of(oracle.model, self.temperatures)
        stages = list(self._stages(oracle, sources))
        for restart in range(self.restarts):
            oracle.begin_try()
            start = threat.sample(x, rng.split("restart", restart)) if restart else x
            for stage in stages:
                if oracle.finished:
                    return worst.points
                worst.meet(self._climb(oracle, start, stage, step_size))

        how = Climb(steps=self.steps, first=eps, hold=True)

        def refine(start: Images, source: GradientSource) -> Images:
            with oracle.only(~worst.broken):
                return climb(oracle, start, margin, how, source=source)

        oracle.begin_try()
        if not oracle.finished:
            worst.meet(refine(threat.sample(x, rng.split("refine", 0)), sources[-1]))
        worst.assemble()
        for source in sources:
            if oracle.finished or bool(worst.broken.all()):
                break
            worst.replace(refine(worst.points, source))
        self._merge(worst, refine, sources)
        return worst.points

    def _merge(self, worst: StrongestPoints, refine: Refine, sources: Sequence[GradientSource]) -> None:
        """Merge points that broke images in other batches into the best batch, if it does not get worse."""
        worst.merge(self.merge)
        for source in sources if self.merge else ():
            if bool(worst.broken.all()):
                break
            worst.replace(refine(worst.points, source))
            worst.merge(self.merge)

    def _stages(self, oracle: Oracle, sources: Sequence[GradientSource]) -> Iterator[Stage]:
        """Yield the losses to raise: (source, loss, labels for the loss or None for the oracle's own)."""
        from robench.attack.losses import cross_entropy, margin
        from robench.attack.threat import Goal

        model = oracle.model
        for source in sources:
            for loss in (cross_entropy, margin):
                yield source, loss, None
        if model.neighbourhood is None or oracle.threat.goal is Goal.TARGETED or self.guides == 0:
            return
        oracle.charge(forwards=1, backwards=0)
        towards = nearest_classes(model.neighbourhood, oracle.x, oracle.y, model.classes)
        through = next(source for source in sources if source.name == "neighbours")
        for rank in range(min(self.guides, towards.shape[1])):
            yield through, approach, towards[:, rank]

    def _climb(self, oracle: Oracle, start: Images, stage: Stage, step_size: float) -> Images:
        """Climb from `start` through one source by steps of fixed length."""
        x, threat = oracle.x, oracle.threat
        source, loss, labels = stage
        point = start
        with oracle.ascent():
            for _ in range(self.steps):
                if oracle.finished:
                    break
                gradient = oracle.gradient(loss, point, labels, source=source)
                point = threat.project(x, point + step_size * threat.norm.ascent(gradient))
        return point
