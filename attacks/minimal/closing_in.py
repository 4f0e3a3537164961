"""Smaller changes near a small one: ascents in balls a little smaller than the smallest change so far."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from attacks.minimal.smallest_change import SmallestChange
    from robench.attack.oracle import Oracle

ATTEMPT = 20
"""Steps of an ascent in one ball."""
FIRST_STEP = 0.5
"""First step of an ascent, in radii of its ball; it falls to a twentieth of it."""
LEAST, FIRST, MOST = 5e-4, 0.02, 0.1
"""By what share a ball is smaller than the smallest change: at least, in the first attempt, at most."""


def close_in(oracle: Oracle, smallest: SmallestChange, *, steps: int) -> None:
    """Look for smaller changes near the smallest ones known; they are kept.

    In an attempt the smallest change is projected on a ball a little smaller than itself, and the point
    climbs the lead there. When it breaks the image, the next attempt asks for twice as much less; when it
    does not in `ATTEMPT` steps, for half as much. Every image has its own balls. Images without any change
    that breaks them, and those that are wrong as they are, are not asked.

    Args:
        oracle: the way to the model.
        smallest: the smallest change known of each image; smaller ones are added to it.
        steps: gradient steps, each of one forward and one backward pass.
    """
    import torch

    from robench.attack.losses import ranked_margin
    from robench.attack.norms import per_image

    x, threat, loss = oracle.x, oracle.threat, ranked_margin()
    norm, open_ = threat.norm, smallest.size.isfinite() & (smallest.size > 0)
    share, left = torch.full_like(smallest.size, FIRST), torch.zeros_like(smallest.size)
    radius, point = torch.zeros_like(smallest.size), x
    for _ in range(steps):
        if oracle.finished or not bool(open_.any()):
            break
        begins = left == 0
        radius = torch.where(begins, smallest.size * (1 - share), radius).where(open_, 0.0)
        start = x + norm.project(smallest.points - x, radius)
        point = torch.where(per_image(begins, x), start, point)
        left = torch.where(begins, float(ATTEMPT), left)
        size = smallest.size
        with oracle.only(open_), smallest.meeting(point):
            uphill = oracle.gradient(loss, point)
        is_smaller = smallest.size < size
        left = (left - 1).where(~is_smaller, 0.0)
        change = torch.where(is_smaller, 2.0, torch.where(left == 0, 0.5, 1.0))
        share = (share * change).clamp(LEAST, MOST)
        length = FIRST_STEP * radius * (left + 1) / ATTEMPT
        point = threat.clip(point + per_image(length, x) * norm.ascent(uphill))
        point = x + norm.project(point - x, radius)
