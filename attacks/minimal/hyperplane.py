"""The smallest step to a hyperplane inside a box, in each norm: the step of FAB at every iteration."""

from __future__ import annotations

import torch

from robench.attack.norms import L1, L2, Norm
from robench.types import Column, FlatImages, Images, PerSample

# Below this share of its largest entry a slope cannot move anything; dividing by it would overflow.
FLAT = 1e-12


def step_to_hyperplane(
    x: Images, slope: Images, rise: PerSample, *, norm: Norm, bounds: tuple[float, float]
) -> Images:
    """Return the smallest d, (B, ...), with <slope, d> = rise and x + d in the box.

    If no d in the box reaches the hyperplane, the d that is nearest to it is returned: every pixel with a
    non-zero slope goes to its end of the box. Exact, by sorting, in float64.

    Croce & Hein 2020 (arXiv:1907.02044), section 3.2 and appendix B: pixels move by sign(slope) min(t, room)
    under Linf, by sign(slope) min(t |slope|, room) under L2, and under L1 the steepest ones first.

    Args:
        x: points in the box, (B, ...).
        slope: normal of each image's hyperplane, (B, ...).
        rise: how far the linear function must change, (B,), of any sign.
        norm: Linf, L2 or L1.
        bounds: the box.
    """
    if x.numel() == 0:
        return torch.zeros_like(x)
    flat, at = slope.flatten(1).double(), x.flatten(1).double()
    largest = flat.abs().amax(dim=1).clamp_min(torch.finfo(torch.float64).tiny)
    flat = flat / largest[:, None] * torch.where(rise < 0, -1.0, 1.0)[:, None].double()
    need = (rise.double().abs() / largest)[:, None]
    flat = flat.where(flat.abs() > FLAT, 0.0)
    room = torch.where(flat > 0, bounds[1] - at, at - bounds[0]).clamp_min(0)
    size = _steepest_first(flat.abs(), room, need) if norm is L1 else _together(flat.abs(), room, need, norm)
    return (flat.sign() * size).to(x.dtype).view(x.shape)


def _together(steep: FlatImages, room: FlatImages, need: Column, norm: Norm) -> FlatImages:
    """Move all pixels at once at their speeds, until the rise is reached; (B, D) float64.

    The rise is concave and piecewise linear in the time t, with a knot where a pixel reaches the box.
    """
    speed = steep if norm is L2 else (steep > 0).double()
    until = room / speed.where(speed > 0, 1.0)
    knots, order = until.sort(dim=1)
    gain = (speed * steep).gather(1, order)
    gain_before = (gain * knots).cumsum(dim=1)
    gain_after = gain.flip(1).cumsum(dim=1).flip(1)  # of this pixel and all later ones, without cancellation
    rise = gain_before + knots * (gain_after - gain)  # at each knot
    position = torch.searchsorted(rise, need).clamp_max(rise.shape[1] - 1)
    before = (gain_before - gain * knots).gather(1, position)
    still = gain_after.gather(1, position)
    time = (need - before) / still.where(still > 0, 1.0)
    time = torch.where(need > rise[:, -1:], knots[:, -1:], time.clamp_min(0))
    return torch.minimum(speed * time, room)


def _steepest_first(steep: FlatImages, room: FlatImages, need: Column) -> FlatImages:
    """Move the steepest pixel to its end, then the next, until the rise is reached; (B, D) float64."""
    order = steep.argsort(dim=1, descending=True, stable=True)
    slope, space = steep.gather(1, order), room.gather(1, order)
    before = (slope * space).cumsum(dim=1) - slope * space
    step = ((need - before) / slope.where(slope > 0, 1.0)).clamp_min(0)
    step = torch.minimum(step, space).where(slope > 0, 0.0)
    return torch.zeros_like(steep).scatter(1, order, step)


def blend(ours: Images, theirs: Images, norm: Norm, most: float) -> PerSample:
    """Return FAB's weight of the step from the clean image, |ours| / (|ours| + |theirs|) or `most`, (B,).

    Croce & Hein 2020 (arXiv:1907.02044), Eq. 9.
    """
    own, other = norm.size(ours).clamp_min(1e-8), norm.size(theirs).clamp_min(1e-8)
    return (own / (own + other)).clamp_max(most)
