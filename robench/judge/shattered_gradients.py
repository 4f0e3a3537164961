"""Did an attack get nowhere because the gradients of neighbouring points have nothing in common?

A function may be smooth and still too rough for an attack: `x + 0.02 sin(300 x)` has a right gradient at
every point, which a step of the usual length outruns. So gradients of surviving images are compared with
those of points beside them; where they disagree, PGD starts along gradients averaged over several such points
(Athalye et al. 2018, arXiv:1802.00420, section 3.1: shattered gradients; section 4.2 for the average).
"""

from __future__ import annotations

import torch
from torch.nn.functional import cosine_similarity

from robench.attack.losses import Loss, cross_entropy
from robench.attack.oracle import Oracle
from robench.judge.reference_ascent import MOST_ASKED, is_notable
from robench.judge.survivors import Survivors
from robench.plurals import counted
from robench.randomness import Randomness
from robench.record.schema import Finding
from robench.types import Images

STEPS, DRAWS = 20, 4
GRADIENTS = (STEPS + 1) * DRAWS
"""Steps, and points whose gradients are averaged for each."""

ALIKE = 0.5
"""Cosine between gradients of neighbouring points (median) from which nothing more is asked. It was 0.93 to
0.99 for seven networks on MNIST, 0.5 behind a median filter, and 0.04 to 0.16 behind rapid oscillations."""

NEAR = 0.02
"""Least distance of the points, in units of the box: half the radius, if it is in Linf and larger."""


def along_averages(survivors: Survivors) -> Finding | None:
    """Run PGD along averaged gradients; return a finding if too many survivors break."""
    threat, (low, high) = survivors.threat, survivors.model.bounds
    reach = max(threat.eps / 2 if threat.norm.name == "Linf" else 0.0, NEAR * (high - low))
    average = _Average(reach)
    loss, count = survivors.fallen(cross_entropy, STEPS, most=MOST_ASKED, step=average)
    if not is_notable(survivors, loss, count):
        return None
    return Finding(
        code="shattered-gradients",
        evidence=f"gradients of points {reach:.3g} apart have a cosine of {average.agreement:.2f} (median): "
        f"{STEPS} steps of PGD along the average of {DRAWS} such gradients broke {loss} of "
        f"{counted(count, 'image')} that it left standing",
        remedy="Attack the loss averaged over the neighbourhood (EOT), give a smooth gradient source (BPDA), "
        "or add attacks without gradients",
    )


class _Average:
    """Gives gradients averaged over points beside the one asked about.

    Args:
        reach: how far these are away in every pixel, at most.

    Attributes:
        agreement: cosine of the first gradient and that of a point beside it (median over images).
    """

    def __init__(self, reach: float) -> None:
        self.reach = reach
        self.agreement: float | None = None

    def __call__(self, oracle: Oracle, loss: Loss, point: Images, draw: Randomness) -> Images | None:
        """Return gradients (B, C, H, W), or None if neighbouring gradients agree."""
        if self.agreement is None:
            here, beside = oracle.gradient(loss, point), self._beside(oracle, loss, point, draw)
            has_both = here.flatten(1).any(dim=1) & beside.flatten(1).any(dim=1)
            if not bool(has_both.any()):
                return None  # no gradient at all is another matter
            cosines = cosine_similarity(here.flatten(1).double(), beside.flatten(1).double())
            self.agreement = float(cosines[has_both].median())
        if self.agreement >= ALIKE:
            return None
        return sum((self._beside(oracle, loss, point, draw) for _ in range(DRAWS)), torch.zeros_like(point))

    def _beside(self, oracle: Oracle, loss: Loss, point: Images, draw: Randomness) -> Images:
        low, high = oracle.model.bounds
        noise = self.reach * (2 * draw.uniform(point) - 1)
        return oracle.gradient(loss, (point + noise).clamp(low, high))
