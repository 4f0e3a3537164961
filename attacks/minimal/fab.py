"""FAB, the fast adaptive boundary attack: the smallest perturbation, by steps to the linearised boundary."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from attacks.shared.options import at_least, share
from robench.attack.protocol import AttackInfo
from robench.errors import ConfigError

if TYPE_CHECKING:
    from robench.attack.losses import Loss
    from robench.attack.oracle import Oracle
    from robench.attack.threat import ThreatModel
    from robench.randomness import Randomness
    from robench.types import Images, Labels, Mask, PerSample

    Watch = Callable[[PerSample, int], Mask]
    Linearise = Callable[[Images], tuple[PerSample, Images]]

BIBTEX = (
    "@inproceedings{croce2020minimally, "
    "title={Minimally distorted adversarial examples with a fast adaptive boundary attack}, "
    "author={Croce, Francesco and Hein, Matthias}, booktitle={ICML}, year={2020}}"
)

# A random start without a radius and without a known adversarial point: noise of this share of the box.
BLIND = 0.1


def check(*, steps: int, restarts: int, alpha_max: float, eta: float, beta: float) -> None:
    """Refuse options of FAB that mean nothing.

    Raises:
        ConfigError: names the first option that is wrong.
    """
    at_least(1, steps=steps, restarts=restarts)
    share(alpha_max=alpha_max, beta=beta)
    if not 1 <= eta <= 2:
        raise ConfigError(where="eta", expected="a factor from 1 to 2", got=repr(eta))


def walk(
    oracle: Oracle,
    x: Images,
    point: Images,
    linearise: Linearise,
    *,
    threat: ThreatModel,
    steps: int,
    alpha_max: float,
    eta: float,
    beta: float,
    watch: Watch | None = None,
) -> Images:
    """Go along the boundary, image by image; the oracle keeps the smallest adversarial point met.

    Croce & Hein 2020 (arXiv:1907.02044), Algorithm 1. Each step goes a little beyond the hyperplane that
    takes the boundary's place, mixed with the point of the same hyperplane nearest to the clean image; a
    point that is adversarial is drawn back towards the clean image before the next step.

    Args:
        oracle: the road to the model.
        x: clean images (B, C, H, W).
        point: where to start, (B, C, H, W).
        linearise: gives at a point how far the attacker is ahead, (B,), negative while he is behind, and its
            gradient (B, C, H, W); -inf for inactive images.
        threat: norm and box; the radius plays no part.
        steps: how many steps, each one linearisation and one forward pass.
        alpha_max: most weight of the step from the clean image.
        eta: overshoot beyond the hyperplane.
        beta: where an adversarial point is drawn back to: 0 is the clean image, 1 stays.
        watch: asked after every step which images go on, with the size (B,) of each one's smallest
            adversarial point so far (inf before the first); all do by default.

    Returns:
        The last point, which may lie outside the radius.
    """
    import torch

    from attacks.minimal.hyperplane import blend, step_to_hyperplane
    from robench.attack.norms import per_image

    norm, bounds = threat.norm, threat.bounds
    going, smallest = torch.ones_like(oracle.broken), torch.full_like(oracle.best_size, torch.inf)
    for step in range(1, steps + 1):
        if oracle.finished or not bool((going & oracle.active).any()):
            break
        with oracle.only(going):
            lead, slope = linearise(point)
        lead = lead.nan_to_num(0.0, neginf=0.0, posinf=0.0)
        from_clean = (slope * (point - x)).flatten(1).sum(dim=1)
        near = step_to_hyperplane(point, slope, -lead, norm=norm, bounds=bounds)
        far = step_to_hyperplane(x, slope, from_clean - lead, norm=norm, bounds=bounds)
        alpha = per_image(blend(near, far, norm, alpha_max), x)
        point = threat.clip((1 - alpha) * (point + eta * near) + alpha * (x + eta * far))
        with oracle.only(going):
            hit = oracle.successful(point)
        if watch is not None:
            smallest = torch.where(hit, torch.minimum(smallest, norm.size(point - x)), smallest)
            going = going & watch(smallest, step)
        point = torch.where(per_image(hit, x), x + beta * (point - x), point)
    return point


def random_start(oracle: Oracle, x: Images, threat: ThreatModel, rng: Randomness) -> Images:
    """Return a random point of half the smallest radius known: eps, or that of an adversarial point met.

    Croce & Hein 2020 (arXiv:1907.02044), section 3.4. An image with neither starts at small noise.
    """
    import torch

    radius = oracle.best_size.clamp_max(threat.eps) / 2
    span = BLIND * (threat.bounds[1] - threat.bounds[0])
    noise = threat.norm.size(torch.full_like(x, span))
    radius = radius.where(radius.isfinite(), noise)
    return threat.clip(x + threat.norm.sample(x, radius, rng))


@dataclass(frozen=True, slots=True, kw_only=True)
class FAB:
    """Project on the nearest linearised decision boundary, step by step, to the smallest perturbation.

    Croce & Hein 2020 (arXiv:1907.02044), Algorithm 1. Untargeted, every step takes the gradient of every
    class; see fab_targeted for many classes. Boundaries are those of logits or log-probabilities. Under a
    targeted goal the boundary is that of the target against the best other class.

    Attributes:
        steps: number of steps of each try.
        restarts: number of tries; the first starts at the clean image, the others at random points.
        alpha_max: most weight of the step from the clean image in a step, in [0, 1].
        eta: overshoot beyond the linearised boundary, in [1, 2].
        beta: where an adversarial point is drawn back to, from the clean image (0) to not at all (1).
    """

    info: ClassVar[AttackInfo] = AttackInfo(
        identity="attacks.fab:FAB",
        title="FAB",
        paper="Croce & Hein 2020, arXiv:1907.02044",
        bibtex=BIBTEX,
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
        """Refuse options that mean nothing."""
        check(
            steps=self.steps,
            restarts=self.restarts,
            alpha_max=self.alpha_max,
            eta=self.eta,
            beta=self.beta,
        )

    def __call__(
        self, oracle: Oracle, x: Images, y: Labels, *, threat: ThreatModel, rng: Randomness
    ) -> Images:
        """Return the last point, projected; the oracle keeps the smallest; see `robench.attack.Attack`."""
        from robench.attack.losses import score_margin
        from robench.attack.threat import Goal

        del y  # the oracle holds the labels
        if threat.goal is Goal.TARGETED:
            linearise = towards(oracle, score_margin, None)
        else:
            linearise = nearest(oracle, threat)
        point = x
        for restart in range(self.restarts):
            if oracle.finished:
                break
            oracle.begin_try()
            point = walk(
                oracle,
                x,
                random_start(oracle, x, threat, rng.split("restart", restart)) if restart else x,
                linearise,
                threat=threat,
                steps=self.steps,
                alpha_max=self.alpha_max,
                eta=self.eta,
                beta=self.beta,
            )
        return threat.project(x, point)


def towards(oracle: Oracle, loss: Loss, labels: Labels | None) -> Linearise:
    """Return what linearises the boundary where a loss of the oracle's labels, or of others, is zero."""
    return lambda point: oracle.value_and_gradient(loss, point, labels)


def nearest(oracle: Oracle, threat: ThreatModel) -> Linearise:
    """Return what linearises the boundary that looks nearest from a point, among all other classes."""

    def linearise(point: Images) -> tuple[PerSample, Images]:
        import torch

        scores, gradients = oracle.score_gradients(point)
        rows = torch.arange(len(point), device=point.device)
        lead = scores - scores.gather(1, oracle.y[:, None])
        slope = gradients - gradients[rows, oracle.y][:, None]
        every = slope.flatten(0, 1)
        dual = (threat.norm.ascent(every) * every).flatten(1).sum(dim=1).view(lead.shape)
        distance = lead.abs() / dual.clamp_min(torch.finfo(dual.dtype).tiny)
        distance = distance.nan_to_num(torch.inf).scatter(1, oracle.y[:, None], torch.inf)
        chosen = distance.argmin(dim=1)
        return lead[rows, chosen], slope[rows, chosen]

    return linearise
