"""HopSkipJump: walks along the decision boundary towards the clean image, by labels alone."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from attacks.query.noise import coarse_noise
from attacks.shared.options import at_least
from robench.attack.protocol import AttackInfo, Knowledge
from robench.papers import paper

if TYPE_CHECKING:
    from torch import Tensor

    from robench.attack.oracle import Oracle
    from robench.randomness import Randomness
    from robench.types import Images, Mask, PerSample

# Length of the first step's queries around the boundary, as a share of the box; later it is the distance
# over the number of pixels (Chen et al. 2020, section III.C, and the authors' code).
FIRST_LOOK = 0.1

# A boundary is located to this share of the distance at least; the paper's rule is coarse for small images.
COARSEST = 1e-3

# A step that is still outside after so many halvings is not taken.
HALVINGS = 20


def bisect(oracle: Oracle, far: Images) -> Images:
    """Return the points of success next to the boundary between the clean images and `far`, (B, C, H, W).

    Chen et al. 2020, Algorithm 1: under L2 on the line between the two, under Linf among the projections of
    `far` onto smaller cubes; both are projections onto a ball whose radius is halved in.

    Args:
        oracle: asked for labels, once for each halving.
        far: points of success, (B, C, H, W); where one is not, it is returned.
    """
    import torch

    x, threat = oracle.x, oracle.threat
    pixels = x[0].numel()
    accuracy = min(pixels ** -(2.0 if threat.norm.name == "Linf" else 1.5), COARSEST)
    delta = far - x
    high = threat.norm.size(delta)
    low, near = torch.zeros_like(high), far
    for _ in range(math.ceil(-math.log2(accuracy))):
        middle = (low + high) / 2
        point = threat.clip(x + threat.norm.project(delta, middle))
        inside = oracle.successful(point)
        near = point.where(_each(inside, x), near)
        low, high = low.where(inside, middle), middle.where(inside, high)
    return near


def boundary_normal(
    oracle: Oracle, point: Images, look: PerSample, rng: Randomness, *, samples: int
) -> Images:
    """Return an estimate of the direction in which success lies, (B, C, H, W), of no particular length.

    Chen et al. 2020, Eq. 16: the mean of random unit directions, each signed by whether a short step along it
    succeeds, with the mean sign taken off to lower the variance.

    Args:
        oracle: asked for labels `samples` times.
        point: points at the boundary.
        look: length of the step, (B,).
        rng: the directions.
        samples: how many directions.
    """
    import torch

    from robench.attack.norms import L2

    total, plain = torch.zeros_like(point), torch.zeros_like(point)
    balance = torch.zeros_like(look)
    length = _each(look.clamp_min(torch.finfo(look.dtype).tiny), point)
    for _ in range(samples):
        query = oracle.threat.clip(point + length * L2.ascent(rng.normal(point)))
        direction = (query - point) / length  # after clipping to the box
        sign = 2 * oracle.successful(query).to(point.dtype) - 1
        total += _each(sign, point) * direction
        plain += direction
        balance += sign / samples
    # If all signs agree, subtracting their mean would give zero.
    baseline = balance.where(balance.abs() < 1, 0.0)
    return total - _each(baseline, point) * plain


def _each(values: Mask | PerSample, like: Images) -> Tensor:
    from robench.attack.norms import per_image

    return per_image(values, like)


@dataclass(frozen=True, slots=True, kw_only=True)
class HopSkipJump:
    """Find the boundary by bisection and its normal by random queries, step along it, and go back.

    Chen et al. 2020 (arXiv:1904.02144), Algorithm 2. It starts from a random image of the attacker's goal,
    never from other test images; an image for which none is found is not changed. It uses only labels, so it
    can distinguish a robust model from one that masks its gradients or rounds its scores.

    Attributes:
        steps: walks along the boundary; 32 of them cost some 13000 queries.
        samples: directions tried in the first step; their number grows as the square root of the step's.
        most_samples: their largest number.
        trials: random images tried as a start.
    """

    info: ClassVar[AttackInfo] = AttackInfo(
        identity="attacks.hopskipjump:HopSkipJump",
        title="HopSkipJump",
        paper="Chen et al. 2020, arXiv:1904.02144",
        bibtex=paper("chen2020hopskipjumpattack"),
        norms=("Linf", "L2"),
        knowledge=Knowledge.DECISION,
        randomised=True,
        own_source="labels",
        minimises=True,
    )
    steps: int = 32
    samples: int = 100
    most_samples: int = 10000
    trials: int = 100

    def __post_init__(self) -> None:
        """Refuse invalid options."""
        at_least(1, steps=self.steps, trials=self.trials)
        at_least(2, samples=self.samples, most_samples=self.most_samples)

    def __call__(self, oracle: Oracle, rng: Randomness) -> Images:
        """Return the last point at the boundary, projected; see `robench.attack.Attack`."""
        point, has_start = self._start(oracle, rng)
        with oracle.only(has_start):
            point = bisect(oracle, point)
            for step in range(1, self.steps + 1):
                if oracle.finished:
                    break
                point = self._walk(oracle, point, rng.split("step", step), step)
        return oracle.threat.project(oracle.x, point)

    def _start(self, oracle: Oracle, rng: Randomness) -> tuple[Images, Mask]:
        """Return a point of success per image and where one was found; clean images that are one stay."""
        x, threat = oracle.x, oracle.threat
        point, has_start = x, oracle.successful(x)
        for number in range(self.trials):
            if oracle.finished or bool(has_start.all()):
                break
            noise = coarse_noise(x, number, rng.split("start", number), threat)
            with oracle.only(~has_start):
                hit = oracle.successful(noise) & ~has_start
            point, has_start = noise.where(_each(hit, x), point), has_start | hit
        return point, has_start

    def _walk(self, oracle: Oracle, point: Images, rng: Randomness, step: int) -> Images:
        """Leave the boundary along its estimated normal, as far as success allows, and return to it."""
        import torch

        x, threat = oracle.x, oracle.threat
        distance = threat.norm.size(point - x)
        low, high = threat.bounds
        look = (high - low) * torch.full_like(distance, FIRST_LOOK) if step == 1 else distance / x[0].numel()
        samples = min(int(self.samples * math.sqrt(step)), self.most_samples)
        normal = boundary_normal(oracle, point, look, rng, samples=samples)
        direction, length = threat.norm.ascent(normal), distance / math.sqrt(step)
        successes = torch.zeros_like(oracle.reached)
        for _ in range(HALVINGS):
            with oracle.only(~successes):
                proposal = threat.clip(point + _each(length, x) * direction)
                hit = oracle.successful(proposal) & ~successes
            point, successes = proposal.where(_each(hit, x), point), successes | hit
            length = length / 2
            if oracle.finished or bool(successes.all()):
                break
        return bisect(oracle, point)
