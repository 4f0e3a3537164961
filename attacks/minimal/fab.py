"""FAB, the fast adaptive boundary attack: the smallest perturbation, by steps to the linearised boundary."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from attacks.shared.options import at_least, share
from attacks.shared.tries import likeliest
from robench.attack.protocol import AttackInfo
from robench.errors import ConfigError
from robench.papers import paper

if TYPE_CHECKING:
    from robench.attack.losses import Loss
    from robench.attack.oracle import Oracle
    from robench.randomness import Randomness
    from robench.types import Images, LabelsOrPairs, Mask, PerSample

    Watch = Callable[[PerSample, int], Mask]
    Linearise = Callable[[Images], tuple[PerSample, Images]]

# A random start without a radius and without a known adversarial point: noise of this share of the box.
BLIND = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Walk:
    """How FAB walks along a boundary.

    Attributes:
        steps: how many steps, each one linearisation and one forward pass.
        alpha_max: largest weight of the step from the clean image, in [0, 1].
        eta: overshoot beyond the hyperplane, in [1, 2].
        beta: how far an adversarial point is moved back: 0 to the clean image, 1 not at all.

    Raises:
        ConfigError: names the first option that is wrong.
    """

    steps: int
    alpha_max: float = 0.1
    eta: float = 1.05
    beta: float = 0.9

    def __post_init__(self) -> None:
        """Refuse invalid options."""
        at_least(1, steps=self.steps)
        share(alpha_max=self.alpha_max, beta=self.beta)
        if not 1 <= self.eta <= 2:
            raise ConfigError(where="eta", expected="a factor from 1 to 2", got=repr(self.eta))


def walk(
    oracle: Oracle, start: Images, linearise: Linearise, how: Walk, *, watch: Watch | None = None
) -> Images:
    """Go along the boundary, image by image; the oracle keeps the smallest adversarial point.

    Croce & Hein 2020 (arXiv:1907.02044), Algorithm 1. Each step goes slightly beyond the hyperplane that
    approximates the boundary, mixed with the point of the same hyperplane nearest to the clean image; a
    point that is adversarial is moved back towards the clean image before the next step.

    Args:
        oracle: the way to the model; its threat gives norm and box, the radius is not used.
        start: where to start, (B, C, H, W).
        linearise: gives at a point the attacker's lead (B,), negative before success, and its gradient
            (B, C, H, W); -inf for inactive images.
        how: number of steps, and their constants.
        watch: called after every step with the size (B,) of each image's smallest adversarial point so far
            (inf before the first); returns which images go on. By default all do.

    Returns:
        The last point, which may lie outside the radius.
    """
    import torch

    from attacks.minimal.hyperplane import blend, step_to_hyperplane
    from robench.attack.norms import per_image

    x, threat, point = oracle.x, oracle.threat, start
    norm, bounds = threat.norm, threat.bounds
    going, smallest = torch.ones_like(oracle.broken), torch.full_like(oracle.best_size, torch.inf)
    for step in range(1, how.steps + 1):
        if oracle.finished or not bool((going & oracle.active).any()):
            break
        with oracle.only(going):
            lead, slope = linearise(point)
        lead = lead.nan_to_num(0.0, neginf=0.0, posinf=0.0)
        from_clean = (slope * (point - x)).flatten(1).sum(dim=1)
        near = step_to_hyperplane(point, slope, -lead, norm=norm, bounds=bounds)
        far = step_to_hyperplane(x, slope, from_clean - lead, norm=norm, bounds=bounds)
        alpha = per_image(blend(near, far, norm, how.alpha_max), x)
        point = threat.clip((1 - alpha) * (point + how.eta * near) + alpha * (x + how.eta * far))
        with oracle.only(going):
            hit = oracle.successful(point)
        if watch is not None:
            smallest = torch.where(hit, torch.minimum(smallest, norm.size(point - x)), smallest)
            going = going & watch(smallest, step)
        point = torch.where(per_image(hit, x), x + how.beta * (point - x), point)
    return point


def random_start(oracle: Oracle, rng: Randomness) -> Images:
    """Return a random point within half the smallest known radius: eps, or that of an adversarial point.

    Croce & Hein 2020 (arXiv:1907.02044), section 3.4. An image with neither starts at small noise.
    """
    import torch

    x, threat = oracle.x, oracle.threat
    radius = oracle.best_size.clamp_max(threat.eps) / 2
    span = BLIND * (threat.bounds[1] - threat.bounds[0])
    noise = threat.norm.size(torch.full_like(x, span))
    radius = radius.where(radius.isfinite(), noise)
    return threat.clip(x + threat.norm.sample(x, radius, rng))


def towards(oracle: Oracle, loss: Loss, labels: LabelsOrPairs | None) -> Linearise:
    """Return the function that linearises the boundary at which a loss of the given labels is zero."""
    return lambda point: oracle.value_and_gradient(loss, point, labels)


def nearest(oracle: Oracle) -> Linearise:
    """Return the function that linearises the nearest boundary of a point, among all other classes."""

    def linearise(point: Images) -> tuple[PerSample, Images]:
        import torch

        scores, gradients = oracle.score_gradients(point)
        rows = torch.arange(len(point), device=point.device)
        lead = scores - scores.gather(1, oracle.y[:, None])
        slope = gradients - gradients[rows, oracle.y][:, None]
        every = slope.flatten(0, 1)
        dual = (oracle.threat.norm.ascent(every) * every).flatten(1).sum(dim=1).view(lead.shape)
        distance = lead.abs() / dual.clamp_min(torch.finfo(dual.dtype).tiny)
        distance = distance.nan_to_num(torch.inf).scatter(1, oracle.y[:, None], torch.inf)
        nearest_class = distance.argmin(dim=1)
        return lead[rows, nearest_class], slope[rows, nearest_class]

    return linearise


def _walk_of(attack: FAB | FABTargeted) -> Walk:
    return Walk(steps=attack.steps, alpha_max=attack.alpha_max, eta=attack.eta, beta=attack.beta)


def _walk_to_each(
    oracle: Oracle,
    boundaries: Sequence[Linearise],
    how: Walk,
    restarts: int,
    stream: Callable[[int], Randomness],
) -> Images:
    """Walk to each boundary, `restarts` times: from the clean image, then from random points.

    Args:
        oracle: the way to the model.
        boundaries: the boundaries to walk to, one after another.
        how: number of steps, and their constants.
        restarts: number of tries for each boundary.
        stream: gives the randomness of a boundary, by its position in the order.

    Returns:
        The last point (B, C, H, W), projected on ball and box.
    """
    point = oracle.x
    for number, linearise in enumerate(boundaries):
        for restart in range(restarts):
            if oracle.finished:
                break
            oracle.begin_try()
            start = oracle.x
            if restart:
                start = random_start(oracle, stream(number).split("restart", restart))
            point = walk(oracle, start, linearise, how)
    return oracle.threat.project(oracle.x, point)


@dataclass(frozen=True, slots=True, kw_only=True)
class FAB:
    """Project on the nearest linearised decision boundary, step by step, to the smallest perturbation.

    Croce & Hein 2020 (arXiv:1907.02044), Algorithm 1. Untargeted, every step needs the gradient of every
    class; see FAB-T for many classes. Boundaries are those of logits or log-probabilities. Under a
    targeted goal the boundary is between the target and the best other class.

    Attributes:
        steps: number of steps of each try.
        restarts: number of tries; the first starts at the clean image, the others at random points.
        alpha_max: largest weight of the step from the clean image, in [0, 1].
        eta: overshoot beyond the linearised boundary, in [1, 2].
        beta: how far an adversarial point is moved back, from the clean image (0) to not at all (1).
    """

    info: ClassVar[AttackInfo] = AttackInfo(
        identity="attacks.fab:FAB",
        title="FAB",
        paper="Croce & Hein 2020, arXiv:1907.02044",
        bibtex=paper("croce2020minimally"),
        norms=("Linf", "L2", "L1"),
        randomised=True,
        minimises=True,
    )
    steps: int = 100
    restarts: int = 1
    alpha_max: float = 0.1
    eta: float = 1.05
    beta: float = 0.9

    def __post_init__(self) -> None:
        """Refuse invalid options."""
        at_least(1, restarts=self.restarts)
        _walk_of(self)

    def __call__(self, oracle: Oracle, rng: Randomness) -> Images:
        """Return the last point, projected; the oracle keeps the smallest; see `robench.attack.Attack`."""
        from robench.attack.losses import score_margin
        from robench.attack.threat import Goal

        if oracle.threat.goal is Goal.TARGETED:
            boundaries = [towards(oracle, score_margin, None)]
        else:
            boundaries = [nearest(oracle)]
        return _walk_to_each(oracle, boundaries, _walk_of(self), self.restarts, lambda _: rng)


@dataclass(frozen=True, slots=True, kw_only=True)
class FABTargeted:
    """FAB on the boundary between the label and one wrong class, for each of the likeliest, one by one.

    Croce & Hein 2020 (arXiv:1907.02044; arXiv:2003.01690, section 5). It is an untargeted attack: any wrong
    class is a success, and one gradient per step is enough. Under a targeted goal there is only one class to
    aim at, and the attack equals FAB.

    Attributes:
        steps: number of steps of each try.
        classes: how many wrong classes to aim at, at most as many as the model has.
        restarts: number of tries for each class; the first starts at the clean image.
        alpha_max: largest weight of the step from the clean image, in [0, 1].
        eta: overshoot beyond the linearised boundary, in [1, 2].
        beta: how far an adversarial point is moved back, from the clean image (0) to not at all (1).
    """

    info: ClassVar[AttackInfo] = AttackInfo(
        identity="attacks.fab_targeted:FABTargeted",
        title="FAB-T",
        paper="Croce & Hein 2020, arXiv:1907.02044 and arXiv:2003.01690",
        bibtex=paper("croce2020minimally"),
        norms=("Linf", "L2", "L1"),
        randomised=True,
        minimises=True,
    )
    steps: int = 100
    classes: int = 9
    restarts: int = 1
    alpha_max: float = 0.1
    eta: float = 1.05
    beta: float = 0.9

    def __post_init__(self) -> None:
        """Refuse invalid options."""
        at_least(1, classes=self.classes, restarts=self.restarts)
        _walk_of(self)

    def __call__(self, oracle: Oracle, rng: Randomness) -> Images:
        """Return the last point, projected; the oracle keeps the smallest; see `robench.attack.Attack`."""
        from robench.attack.losses import score_margin, targeted_margin
        from robench.attack.threat import Goal

        if oracle.threat.goal is Goal.TARGETED:
            boundaries = [towards(oracle, score_margin, None)]
        else:
            pairs = likeliest(oracle, oracle.x, self.classes)
            boundaries = [towards(oracle, targeted_margin, pair) for pair in pairs]
        return _walk_to_each(
            oracle, boundaries, _walk_of(self), self.restarts, lambda number: rng.split("class", number)
        )
