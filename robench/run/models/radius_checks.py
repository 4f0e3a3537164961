"""Warns of radii that do not limit anything, in threats and trainings: every image lies within them."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from typing import Any

from robench.plan.spec import ThreatSpec

_LOG = logging.getLogger(__name__)

_POWERS = {"L1": 1.0, "L2": 0.5}
"""Two images of d values in [0, 1] are at most d to this power apart; Linf above 1 is refused."""


def warn_of_wide_radii(threats: Sequence[ThreatSpec], shape: tuple[int, int, int]) -> None:
    """Warn of finite radii that no two images exceed, for example a radius meant in units of 1/255.

    Args:
        threats: the threats of a plan.
        shape: of an image, (C, H, W).
    """
    for threat in threats:
        _warn(threat.norm, threat.eps, threat.eps_text, shape, ", or inf for the smallest perturbation")


def warn_of_wide_training(defense: Any, shape: tuple[int, int, int]) -> None:
    """Warn of radii of a training's attacks that no two images exceed.

    Args:
        defense: the recipe; its options `eps` and `monitor_eps`, with their norms, are checked.
        shape: of an image, (C, H, W).
    """
    for prefix in ("", "monitor_"):
        eps, norm = getattr(defense, f"{prefix}eps", None), getattr(defense, f"{prefix}norm", None)
        if isinstance(eps, int | float) and isinstance(norm, str):
            _warn(norm, eps, f"{eps:g} of the training", shape)


def _warn(norm: str, eps: float, text: str, shape: tuple[int, int, int], other: str = "") -> None:
    if norm not in _POWERS or eps == math.inf:
        return
    widest = math.prod(shape) ** _POWERS[norm]
    if eps >= widest:
        _LOG.warning(
            "%s radius %s: no two of these images are further apart than %g, so it limits nothing. "
            "Write %g/255 if pixels from 0 to 255 were meant%s",
            norm,
            text,
            widest,
            eps,
            other,
        )
