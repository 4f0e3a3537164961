"""Radii that limit nothing: every image lies within them."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence

from robench.plan.spec import ThreatSpec

_LOG = logging.getLogger(__name__)

_POWERS = {"L1": 1.0, "L2": 0.5}
"""Two images of d values in [0, 1] are at most d to this power apart; Linf above 1 is refused."""


def warn_of_wide_radii(threats: Sequence[ThreatSpec], shape: tuple[int, int, int]) -> None:
    """Say which finite radii are at least as wide as all images together, as one meant in 255ths may be.

    Args:
        threats: the threats of a plan.
        shape: of an image, (C, H, W).
    """
    for threat in threats:
        if threat.norm not in _POWERS or threat.eps == math.inf:
            continue
        widest = math.prod(shape) ** _POWERS[threat.norm]
        if threat.eps >= widest:
            _LOG.warning(
                "%s radius %s: no two of these images are further apart than %g, so it limits nothing. "
                "Write %g/255 if pixels from 0 to 255 were meant, or inf for the smallest perturbation",
                threat.norm,
                threat.eps_text,
                widest,
                threat.eps,
            )
