"""An attack on classifiers by neighbours: images of another class shall become the nearest neighbours."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from attacks.shared.options import at_least, finite_radius, positive
from attacks.shared.tries import StrongestPoints
from attacks.wnll.attacker_sources import nearest_classes, neighbours
from robench.attack.protocol import AttackInfo
from robench.papers import paper

if TYPE_CHECKING:
    from robench.attack.oracle import Oracle
    from robench.model.interface import GradientSource, Neighbourhood, OutputKind
    from robench.randomness import Randomness
    from robench.types import Features, Images, Outputs, Pairs, PerSample


@dataclass(frozen=True, slots=True, kw_only=True)
class KNNGuides:
    """Pulls features towards the nearest template images of another class, and pushes those of its own away.

    Sitawarin & Wagner 2020 (arXiv:2003.06559), section 4: with eta the distance of an image to its k-th
    nearest template image, taken anew at every step, and over the nearest `guides` of each class,

        sum over t of the other class of max(d_t^2 - eta^2 (1 - gap), 0)
        + sum over t of the own class of max(eta^2 (1 + gap) - d_t^2, 0)

    is lowered until the ball of the k nearest has enough images of the other class and none of the own. Here
    it is lowered inside the ball of the threat, by the steps of Auto-PGD; the paper adds the size of the
    perturbation and searches the smallest. Each of the `classes` nearest other classes is tried in turn,
    first towards the mean of its guides (their attack of 2019, arXiv:1903.08333, section 3: gradient source
    `neighbours`), then, from the end point, by the sum above; from the clean image, then from random points.
    The worst point on the model itself is kept. A model without neighbours is attacked by Auto-PGD with the
    margin.

    Attributes:
        steps: steps of each climb.
        restarts: 1 starts from the clean image only; each further one starts once more, at random.
        classes: how many of the nearest other classes are approached.
        guides: template images of each class that count; by default (k + 1) / 2, a majority of the k nearest.
        gap: how far inside or outside the ball of the k nearest they should be.
    """

    info: ClassVar[AttackInfo] = AttackInfo(
        title="kNN guides",
        paper="Sitawarin & Wagner 2020, arXiv:2003.06559; 2019, arXiv:1903.08333",
        bibtex=paper("sitawarin2020minimum", "sitawarin2019robustness"),
        norms=("Linf", "L2"),
        randomised=True,
        goals=("untargeted",),
        own_source="guides",
    )
    steps: int = 40
    restarts: int = 2
    classes: int = 3
    guides: int | None = None
    gap: float = 0.05

    def __post_init__(self) -> None:
        """Refuse invalid options."""
        at_least(1, steps=self.steps, restarts=self.restarts, classes=self.classes)
        if self.guides is not None:
            at_least(1, guides=self.guides)
        positive(gap=self.gap)

    def __call__(self, oracle: Oracle, rng: Randomness) -> Images:
        """Return the worst point found for each image; see `robench.attack.Attack`.

        Raises:
            ConfigError: the radius is infinite.
        """
        import torch

        from attacks.gradient.apgd_loop import Climb, climb
        from attacks.wnll.graph_adaptive import approach
        from robench.attack.losses import margin

        eps = finite_radius(oracle.threat.eps, "the attack by guides")
        around = oracle.model.neighbourhood
        x, y, threat = oracle.x, oracle.y, oracle.threat
        how = Climb(steps=self.steps, first=eps, hold=True)
        worst = StrongestPoints(oracle)
        if around is None:
            for restart in range(self.restarts):
                oracle.begin_try()
                start = threat.sample(x, rng.split("restart", restart)) if restart else x
                with oracle.only(~worst.broken):
                    worst.meet(climb(oracle, start, margin, how))
            worst.assemble()
            return worst.points
        oracle.charge(forwards=1, backwards=0)
        towards = nearest_classes(around, x, y, oracle.model.classes)
        mean = neighbours(around, oracle.model.classes)
        ball = self._ball(around, oracle.model.classes)
        for restart in range(self.restarts):
            start = threat.sample(x, rng.split("restart", restart)) if restart else x
            for rank in range(min(self.classes, towards.shape[1])):
                if oracle.finished:
                    return worst.points
                oracle.begin_try()
                target = towards[:, rank]
                with oracle.only(~worst.broken):
                    point = climb(oracle, start, approach, how, labels=target, source=mean)
                    worst.meet(point)
                    pairs = torch.stack([y, target], dim=1)
                    worst.meet(climb(oracle, point, guided, how, labels=pairs, source=ball))
        worst.assemble()
        return worst.points

    def _ball(self, around: Neighbourhood, classes: int) -> GradientSource:
        """Return the negated two sums of every class as a gradient source with outputs (B, 2 K)."""
        from robench.model.interface import GradientSource, OutputKind

        count = (around.reach + 1) // 2 if self.guides is None else self.guides

        def surrogate(x: Images) -> tuple[Outputs, Outputs]:
            z = around.features(x)
            scores = ball_scores(around, z, classes, guides=count, gap=self.gap)
            return scores, around.classify(z.detach(), None)

        return GradientSource("guides", surrogate, OutputKind.LOGITS)


def ball_scores(around: Neighbourhood, z: Features, classes: int, *, guides: int, gap: float) -> Outputs:
    """Return, in units of eta^2, minus the sums of each class for being inside and for being outside.

    Args:
        around: the template; eta is the distance to the `reach`-th nearest of its images, held fixed.
        z: features (B, D).
        classes: number of classes K.
        guides: how many of each class count.
        gap: how far inside and outside they should be.

    Returns:
        (B, 2 K): column c is - sum of max(d^2 / eta^2 - 1 + gap, 0), column K + c is
        - sum of max(1 + gap - d^2 / eta^2, 0), over the nearest `guides` of class c; a class without
        template images has minus infinity and 0.
    """
    import torch

    memory = around.memory()
    points = memory.points.to(z.dtype)
    centre = points.mean(dim=0)  # a shared offset would only add cancellation
    z, points = z - centre, points - centre
    squares = z.square().sum(1, keepdim=True) + points.square().sum(1) - 2 * z @ points.T
    near = min(around.reach, len(points))
    eta = squares.detach().topk(near, dim=1, largest=False).values[:, -1:]
    ratio = squares / eta.clamp_min(torch.finfo(squares.dtype).tiny)
    lacks, inside = [], []
    for label in range(classes):
        own = ratio[:, memory.labels == label]
        if own.shape[1] == 0:
            lacks.append(torch.full_like(ratio[:, 0], -torch.inf))
            inside.append(torch.zeros_like(ratio[:, 0]))
            continue
        nearest = own.topk(min(guides, own.shape[1]), dim=1, largest=False).values
        lacks.append(-(nearest - 1 + gap).clamp_min(0).sum(1))
        inside.append(-(1 + gap - nearest).clamp_min(0).sum(1))
    return torch.stack([*lacks, *inside], dim=1)


def guided(outputs: Outputs, pairs: Pairs, kind: OutputKind) -> PerSample:
    """Return minus the sum to be lowered, (B,), for the pair (own class, other class) of each image."""
    del kind  # scores of `ball_scores`, whatever they are called
    classes = outputs.shape[1] // 2
    own, other = pairs[:, :1], pairs[:, 1:]
    return (outputs.gather(1, other) + outputs.gather(1, classes + own)).squeeze(1)
