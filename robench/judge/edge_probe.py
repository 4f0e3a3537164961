"""Is there a gradient at pixels on the bounds of the box?

Images are inside the box, so clamping them to it, or a ReLU on them, does not change the network's function.
But the derivative of such a layer on the bound is zero: wherever a pixel is black or white, at the start or
after a step, the gradient tells an attack that the pixel does not matter.
"""

from __future__ import annotations

import torch

from robench.judge.gradient_probes import loss_of, visited
from robench.model.interface import Model
from robench.plurals import counted
from robench.record.schema import Finding
from robench.types import Images, Labels

RANGE = 0.05
"""Size of the random change of pixels before the probe, in units of the box: as after a random start, some
pixels then lie on a bound, and neighbouring pixels are no longer equal."""

MUCH = 0.02
"""Share of the gradient from which a finding is raised. It was 0.0 for eleven unchanged networks on digits,
MNIST and CIFAR-10, and 0.11 to 0.25 on digits behind `clamp(0, 1)` or a ReLU, where PGD left up to a third
more images standing."""

INWARD = 1e-3
"""How far pixels on a bound are moved into the box for the comparison, in units of the box."""


def blind_at_the_ends(model: Model, x: Images, y: Labels) -> Finding | None:
    """Compare the gradient at pixels on a bound of the box with the gradient a little further inside.

    Args:
        model: in evaluation mode; its first gradient source is used.
        x: images (B, C, H, W) it gets right, at least one.
        y: their labels (B,).

    Returns:
        `wrong-gradient` if pixels on a bound, where the gradient is exactly zero, have `MUCH` or more of the
        whole gradient (median over images) after they are moved a little inside.
    """
    low, high = model.bounds
    source = next(iter(model.sources.values()))
    draw = torch.Generator().manual_seed(0)
    noise = (2 * torch.rand(x.shape, generator=draw) - 1).to(x)
    start = (x + RANGE * (high - low) * noise).clamp(low, high)
    at_end = (start == low) | (start == high)
    if not bool(at_end.any()):
        return None
    inside = torch.where(
        at_end, start.clamp(low + INWARD * (high - low), high - INWARD * (high - low)), start
    )
    loss = loss_of(source, y)
    (_, _, here), (_, _, there) = visited(loss, start), visited(loss, inside)
    there = there.nan_to_num(0.0)
    size = there.abs().flatten(1)
    unseen_part = (size * (at_end & (here == 0)).flatten(1)).sum(dim=1)
    total = size.sum(dim=1)
    has_any = total > 0
    if not bool(has_any.any()):
        return None
    share = float((unseen_part / total)[has_any].median())
    if share < MUCH:
        return None
    return Finding(
        code="wrong-gradient",
        evidence=f"where pixels lie at an end of the box the gradient is exactly zero, and a little further "
        f"inside they have {share:.0%} of it (median of "
        f"{counted(int(has_any.sum()), 'image')}): an attack is told that they do not matter",
        remedy="Leave out what clamps or rectifies the images in front of the network: they are inside the "
        "box anyway, and the classes stay the same; or give a gradient source that passes it (BPDA)",
    )
