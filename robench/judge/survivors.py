"""Images that an attack left standing, and a short ascent of a loss from some of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from robench.attack.losses import Loss
from robench.attack.oracle import Oracle
from robench.attack.threat import ThreatModel
from robench.model.evaluation import evaluation_mode
from robench.model.interface import Coupling, GradientSource, Model
from robench.randomness import Randomness
from robench.types import Images, Labels, Mask

STEP = 2.5
"""Length of all steps together in radii, as in Madry et al. 2018, section 5, and in our `pgd`."""

AGAIN = 2
"""How often a point that breaks an image is classified again: a random model may be wrong by chance."""

Step = Callable[[Oracle, Loss, Images, Randomness], Images | None]


def plain(oracle: Oracle, loss: Loss, point: Images, draw: Randomness) -> Images | None:
    """Follow the gradient itself, (B, C, H, W)."""
    return oracle.gradient(loss, point)


@dataclass(frozen=True, slots=True, kw_only=True)
class Survivors:
    """Images that an attack left standing, and how they may be attacked.

    Attributes:
        model: the model that was attacked and judged.
        x: clean images (B, C, H, W).
        labels: their labels (B,), or the target classes under a targeted goal.
        stands: which images the attack left standing (B,).
        threat: the radius, the box and the goal.
        source: the gradient source.
        rng: draws the images' random starts.
        batch_size: most images in a pass.
    """

    model: Model
    x: Images
    labels: Labels
    stands: Mask
    threat: ThreatModel
    source: GradientSource
    rng: Randomness
    batch_size: int

    def fallen(self, loss: Loss, steps: int, *, most: int, step: Step = plain) -> tuple[int, int]:
        """Climb a loss from at most so many survivors; return how many broke, and how many were tried.

        Args:
            loss: what is climbed.
            steps: number of steps.
            most: most survivors to start from; of a joint batch all images are tried.
            step: gives the gradient that a step follows; None from it ends the ascent, and nothing broke.
        """
        standing = self.stands.nonzero().flatten()
        if not len(standing):
            return 0, 0
        is_joint = self.model.coupling is Coupling.JOINT
        rows = torch.arange(len(self.x)) if is_joint else _spread(standing, most)
        rows = rows.to(self.x.device)
        starts = Randomness(self.rng.seed, self.rng.images[rows], (*self.rng.stream, "reference ascent"))
        falls = self._broken(loss, steps, rows, starts, step)
        is_survivor = self.stands.to(self.x.device)[rows]
        return int((falls & is_survivor).sum()), int(is_survivor.sum())

    def _broken(self, loss: Loss, steps: int, rows: torch.Tensor, starts: Randomness, step: Step) -> Mask:
        model, threat = self.model, self.threat
        oracle = Oracle(
            model,
            self.x[rows].clone(),
            self.labels[rows].clone(),
            threat,
            source=self.source,
            drop=model.coupling is not Coupling.JOINT,
            batch_size=self.batch_size,
        )
        with evaluation_mode(model.net):
            point = threat.sample(oracle.x, starts)
            for _ in range(steps):
                if oracle.finished:
                    break
                gradient = step(oracle, loss, point, starts)
                if gradient is None:
                    return torch.zeros(len(rows), dtype=torch.bool, device=self.x.device)
                point = point + STEP / steps * threat.eps * threat.norm.ascent(gradient)
                point = threat.project(oracle.x, point)
            point = oracle.proposal(point)
            again = Oracle(model, oracle.x, oracle.y, threat, batch_size=self.batch_size)
            falls = torch.ones(len(rows), dtype=torch.bool, device=self.x.device)
            for _ in range(AGAIN):
                falls &= again.successful(point)
        return falls


def _spread(rows: torch.Tensor, most: int) -> torch.Tensor:
    """Return at most `most` of the rows, evenly spread."""
    if len(rows) <= most:
        return rows
    places = torch.linspace(0, len(rows) - 1, most).round().to(torch.int64)
    return rows[places.to(rows.device)]
