"""Does following the gradient without a limit lead to another class?

Pintor et al. 2022 (arXiv:2106.09947, I6) and Athalye et al. 2018 (arXiv:1802.00420, section 3.1) allow any
perturbation: an attack that breaks nothing even then does not see the model. A network that is constant
around an image gives no direction there, but hides nothing; so such an image gets other starting points.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from robench.attack.losses import cross_entropy
from robench.model.interface import Model, predictions
from robench.types import Images, Labels, Mask, Outputs

STEPS = 40
FIRST_STEPS = (0.5, 0.1, 0.05)
"""Length of the first step of each try, in units of the box: a long step may jump over a narrow slope."""

PARTNERS = 6
"""Number of goals that an image is moved towards: images of other classes, and half as many random points."""

ON_THE_WAY = (1 / 32, 1 / 16, 1 / 8, 1 / 4, 3 / 8, 1 / 2, 5 / 8, 3 / 4, 7 / 8, 1)
HALVINGS = 8
SAME = 1e-6
"""Outputs with a smaller relative difference count as equal."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Answer:
    """A model's results for images.

    Attributes:
        outputs: its own outputs, (B, K).
        right: whether the class is the label, (B,).
        gradient: of the loss of its first source, (B, C, H, W); zero where it has none.
        flat: whether that is exactly zero, (B,).
    """

    outputs: Outputs
    right: Mask
    gradient: Images
    flat: Mask


def standing_anywhere(model: Model, x: Images, y: Labels) -> Mask:
    """Return which images (B,) stand although every pixel may have any value.

    Args:
        model: in evaluation mode.
        x: images (B, C, H, W) it gets right; its first gradient source is used.
        y: their labels (B,).
    """
    standing, flats = _climb(model, x, y, FIRST_STEPS[0])
    # If there was a gradient at every step but it led nowhere, other starting points prove nothing.
    rows = (standing & flats).nonzero().flatten()
    for number, there in enumerate(_partners(model, x, y)):
        if len(rows) == 0:
            break
        start, has_start, jumps = _way(model, x[rows], there[rows], y[rows])
        # The output changes although the gradient is zero there: this is not a plateau.
        rows, start, has_start = rows[~jumps], start[~jumps], has_start[~jumps]
        if bool(has_start.any()):
            first = FIRST_STEPS[number % len(FIRST_STEPS)]
            still, _ = _climb(model, start[has_start], y[rows[has_start]], first)
            standing[rows[has_start]] = still
        rows = rows[standing[rows]]
    return standing


def _climb(model: Model, x: Images, y: Labels, first: float) -> tuple[Mask, Mask]:
    """Follow the gradient's sign; return which images stand, and which met an exact zero gradient, (B,)."""
    low, high = model.bounds
    point = x.clone()
    standing = torch.ones(len(x), dtype=torch.bool, device=x.device)
    flats = torch.zeros_like(standing)
    for step in range(STEPS):
        answer = _ask(model, point, y)
        standing &= answer.right
        flats |= standing & answer.flat
        if not bool(standing.any()):
            break
        length = (high - low) * max(first * (1 - step / STEPS), 0.02)
        point = (point + length * answer.gradient.sign()).clamp(low, high)
    return standing, flats


def _partners(model: Model, x: Images, y: Labels) -> Iterator[Images]:
    """Yield the goals of each image: images of another class and random points, in turn."""
    draw = torch.Generator().manual_seed(0)
    low, high = model.bounds
    for _ in range(PARTNERS // 2):
        other = y[None, :] != y[:, None]
        weight = torch.rand(other.shape, generator=draw).to(x.device) * other
        if bool(other.any()):
            yield torch.where(_wide(other.any(dim=1), x), x[weight.argmax(dim=1)], x)
        yield low + (high - low) * torch.rand(x.shape, generator=draw).to(x)


def _way(model: Model, x: Images, there: Images, y: Labels) -> tuple[Images, Mask, Mask]:
    """Walk on a straight line from each image to another point.

    Returns:
        The last point that has a gradient and is still of its class; whether there is such a point (B,); and
        whether the output changed on the way while the gradient was zero before, after and between (B,).
    """
    start = x.clone()
    has_start = torch.zeros(len(x), dtype=torch.bool, device=x.device)
    jumps, own_class = has_start.clone(), ~has_start
    before = _ask(model, x, y)
    last = torch.zeros(len(x), device=x.device, dtype=x.dtype)

    def keep(where: Mask, point: Images) -> None:
        start[where] = point[where]
        has_start.logical_or_(where)

    for share in ON_THE_WAY:
        now = torch.full_like(last, share)
        point = _between(x, there, now)
        answer = _ask(model, point, y)
        leaps = own_class & before.flat & answer.flat & _changed(before.outputs, answer.outputs)
        if bool(leaps.any()):
            slope, sloping = _slope_between(model, x, there, y, last, now, before.outputs)
            jumps |= leaps & ~sloping
            keep(leaps & sloping & _ask(model, slope, y).right, slope)
        own_class &= answer.right
        keep(own_class & ~answer.flat, point)
        before, last = answer, now
    return start, has_start, jumps


def _slope_between(
    model: Model,
    x: Images,
    there: Images,
    y: Labels,
    left: torch.Tensor,
    right: torch.Tensor,
    before: Outputs,
) -> tuple[Images, Mask]:
    """Search by bisection for a gradient where the output changes; return points, and which have one."""
    slope = x.clone()
    has_slope = torch.zeros(len(x), dtype=torch.bool, device=x.device)
    left, right = left.clone(), right.clone()
    for _ in range(HALVINGS):
        middle = (left + right) / 2
        point = _between(x, there, middle)
        answer = _ask(model, point, y)
        new = ~answer.flat & ~has_slope
        slope[new] = point[new]
        has_slope |= new
        changes = _changed(before, answer.outputs)
        left, right = torch.where(changes, left, middle), torch.where(changes, middle, right)
    return slope, has_slope


def _ask(model: Model, x: Images, y: Labels) -> _Answer:
    source = next(iter(model.sources.values()))
    leaf = x.detach().requires_grad_(True)
    with torch.enable_grad():
        surrogate, own = source.surrogate(leaf)
        loss = cross_entropy(surrogate, y, source.output).sum()
        slope = torch.autograd.grad(loss, leaf, allow_unused=True)[0] if loss.requires_grad else None
    gradient = torch.zeros_like(x) if slope is None else slope
    return _Answer(
        outputs=own.detach(),
        right=predictions(own.detach()) == y,
        gradient=gradient,
        flat=gradient.flatten(1).abs().amax(dim=1) == 0,
    )


def _between(x: Images, there: Images, share: torch.Tensor) -> Images:
    return x + share.view(-1, *(1,) * (x.ndim - 1)) * (there - x)


def _changed(first: Outputs, second: Outputs) -> Mask:
    size = first.abs().amax().clamp_min(SAME)
    return (first - second).abs().amax(dim=1) > SAME * size


def _wide(rows: Mask, x: Images) -> Tensor:
    return rows.view(-1, *(1,) * (x.ndim - 1))
