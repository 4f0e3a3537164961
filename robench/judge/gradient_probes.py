"""Does the gradient of a model lead an attack to another class? Probes that need gradients.

See `robench.judge.probes`; a cause is reported once, without its consequences.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import torch

from robench.attack.losses import cross_entropy
from robench.judge.output_probes import MANY
from robench.judge.unbounded_ascent import standing_anywhere
from robench.model.interface import Coupling, GradientSource, Model
from robench.plurals import counted
from robench.record.schema import Finding
from robench.types import Images, Labels, PerSample

DISTANCE = 1e-3
"""Length of a short step, in units of the box."""

DISTANCES = (DISTANCE, 10 * DISTANCE, 100 * DISTANCE)
"""Lengths in L2 at which a slope is measured: a slope that agrees at any of them is right. The rounding steps
of a half-precision network are wider than the shortest length."""

DRAWS = 10
"""Random points near an image."""

PATH = 0.5
"""Length in L2 of an ascent along which the gradients are summed."""

STEPS = 16
"""Steps of this ascent, and most images in it; it costs 17 passes per image."""

OFF = 0.2
"""Largest share of a loss's changes along the ascent that its gradients may leave unexplained.

It was at most 0.04 for networks of ReLU, GELU and tanh, trained plainly and for robustness, in float32,
float16 and bfloat16, and at least 0.45 for k-winners-take-all, sparsified activations, a coarse adjoint."""

UNSTABLE = 0.1
"""Mean relative change of the loss, at random points at `DISTANCE`, from which a finding is raised."""


def gradient_defect(model: Model, x: Images, y: Labels) -> Finding | None:
    """Return the first defect of a model's gradient.

    Args:
        model: in evaluation mode.
        x: images (B, C, H, W) it gets right.
        y: their labels (B,).
    """
    if model.coupling is Coupling.JOINT:
        return None
    return _wrong_gradient(model, x, y) or _unstable(model, x, y) or _unreachable(model, x, y)


def without_gradient(model: Model, x: Images) -> Finding | None:
    """Find outputs without a gradient: packed integer weights, a detach, a call to NumPy."""
    source = model.sources.get("exact")
    if source is None:
        return None
    leaf = x[:2].detach().clone().requires_grad_(True)
    with torch.enable_grad():
        surrogate, _ = source.surrogate(leaf)
        gradient = _gradient_of(surrogate, leaf)
    return _no_gradient(len(x)) if gradient is None else None


def _no_gradient(count: int) -> Finding:
    return Finding(
        code="no-gradient",
        evidence=f"the gradient is exactly zero for all {counted(count, 'image')} asked about",
        remedy="Attack through a surrogate (BPDA), or use score- and decision-based attacks",
    )


def _wrong_gradient(model: Model, x: Images, y: Labels) -> Finding | None:
    """Compare the gradient of the exact source with finite differences of its own loss along it.

    A surrogate (BPDA, straight-through) is not compared: it does not claim to be the model.
    """
    source = model.sources.get("exact")
    if source is None:
        return None
    point, loss = x.detach().requires_grad_(True), loss_of(source, y)
    with torch.enable_grad():
        gradient = _gradient_of(loss(point), point)
    if gradient is None:
        return _no_gradient(len(x))
    if not bool((gradient.flatten(1).abs().amax(dim=1) > 0).any()):
        # The loss is constant only around the images: from elsewhere the gradient may lead away.
        return _no_gradient(len(x)) if _standing(model, x, y) > MANY * len(y) else None
    wrong = torch.ones(len(x), dtype=torch.bool, device=x.device)
    for distance in DISTANCES:
        slope, difference = _slopes(loss, x, gradient, distance)
        wrong &= (difference - slope).abs() > 0.5 * slope.abs() + 1e-4
    if float(wrong.float().mean()) <= 0.5:
        return None if model.random else _off_the_path(model, source, x, y)
    return Finding(
        code="wrong-gradient",
        evidence=f"for {int(wrong.sum())} of {counted(len(x), 'image')} "
        "the loss does not change along the gradient "
        "as the gradient says",
        remedy="The gradient is masked or noisy: smooth the model for the attacker (BPDA, EOT)",
    )


def loss_of(source: GradientSource, y: Labels) -> Callable[[Images], PerSample]:
    """Return the cross-entropy of a source's outputs, as a function of images."""

    def loss(at: Images) -> PerSample:
        surrogate, _ = source.surrogate(at)
        return cross_entropy(surrogate, y, source.output)

    return loss


def _off_the_path(model: Model, source: GradientSource, x: Images, y: Labels) -> Finding | None:
    """Ascend a little and compare the loss's changes with the path integral of its gradients.

    A loss that jumps, as behind k-winners-take-all, or that has a coarsely solved gradient, may have the
    right slope at the images themselves but mislead every ascent from there.
    """
    loss = loss_of(source, y[:STEPS])
    walk = [visited(loss, x[:STEPS])]
    for _ in range(STEPS):
        at, _, gradient = walk[-1]
        length = gradient.flatten(1).norm(dim=1).clamp_min(1e-30).view(-1, *(1,) * (x.ndim - 1))
        step = (PATH / STEPS * gradient / length).to(at.dtype)  # a network gets images of the original type
        walk.append(visited(loss, (at + step).clamp(*model.bounds)))
    shares = torch.stack([_unexplained(walk[::stride]) for stride in (1, 2, 4)]).amin(dim=0)
    walkers = ~shares.isnan()
    if int(walkers.sum()) < min(4, len(x)) or float(shares[walkers].median()) <= OFF:
        return None
    return Finding(
        code="wrong-gradient",
        evidence=f"along a short ascent {float(shares[walkers].median()):.0%} of the loss's changes are not "
        "what its gradients add up to",
        remedy="The loss jumps, or its gradient is not exact: smooth the model for the attacker (BPDA, EOT), "
        "and attack without gradients",
    )


Visit = tuple[Images, PerSample, Images]
"""A point (B, C, H, W), its loss (B,) and its gradient, the latter two in float64."""


def visited(loss: Callable[[Images], PerSample], at: Images) -> Visit:
    """Return a point, its loss and its gradient; the gradient is zero if there is none."""
    leaf = at.detach().requires_grad_(True)
    with torch.enable_grad():
        value = loss(leaf)
        gradient = _gradient_of(value, leaf)
    gradient = torch.zeros_like(at) if gradient is None else gradient
    return at.detach(), value.detach().double(), gradient.double()


def _unexplained(walk: list[Visit]) -> PerSample:
    """Return the share (B,) of the loss's changes that the trapezoidal rule misses; NaN without changes.

    Longer steps are less exact if the loss is curved, shorter steps suffer from rounding. The caller takes
    the best of both.
    """
    apart, total = torch.zeros_like(walk[0][1]), torch.zeros_like(walk[0][1])
    for (start, before, slope), (end, after, next_slope) in pairwise(walk):
        rise = after - before
        step = end.double() - start.double()
        expected = ((slope + next_slope) / 2 * step).flatten(1).sum(dim=1)
        apart += (rise - expected).abs()
        total += torch.maximum(rise.abs(), expected.abs())
    return (apart / total).masked_fill(total < 1e-4, torch.nan)


def _slopes(
    loss: Callable[[Images], PerSample], x: Images, gradient: Images, distance: float
) -> tuple[PerSample, PerSample]:
    """Return the slope along the unit gradient by the gradient itself and by central differences, (B,)."""
    shape = (-1, *(1,) * (x.ndim - 1))
    length = gradient.flatten(1).norm(dim=1)
    direction = gradient / length.clamp_min(1e-30).view(shape)
    with torch.no_grad():
        difference = (loss(x + distance * direction) - loss(x - distance * direction)) / (2 * distance)
    return length, difference


def _unstable(model: Model, x: Images, y: Labels) -> Finding | None:
    """Measure how much the model's own loss changes at random points nearby (Pintor et al. 2022, I2).

    Their radius of 4/255 changes the loss of many sound networks a lot; the radius here changes no smooth
    function a lot.
    """
    draw = torch.Generator().manual_seed(0)

    @torch.no_grad()
    def loss(at: Images) -> PerSample:
        return cross_entropy(model.net(at)[:, : model.classes], y, model.output)

    here = loss(x)
    total = torch.zeros_like(here)
    for _ in range(DRAWS):
        noise = 2 * torch.rand(x.shape, generator=draw).to(x) - 1
        total += (loss((x + DISTANCE * noise).clamp(*model.bounds)) - here).abs()
    change = (total / DRAWS / here.clamp_min(DISTANCE)).clamp_max(1)
    if float(change.mean()) <= UNSTABLE:
        return None
    return Finding(
        code="unstable-predictions",
        evidence=f"{DISTANCE} away, at random, the loss changes by {float(change.mean()):.0%} on average",
        remedy="No gradient sees that: attack the loss averaged over the neighbourhood (EOT), or without one",
    )


def _unreachable(model: Model, x: Images, y: Labels) -> Finding | None:
    """Allow any pixel values in the box: an attack without a limit must break everything."""
    standing = _standing(model, x, y)
    if standing <= MANY * len(y):
        return None
    return Finding(
        code="unreachable",
        evidence=f"{standing} of {counted(len(y), 'image')} stand although every pixel may become anything",
        remedy="The attack does not see the model: try other gradient sources, black-box attacks, more steps",
    )


def _standing(model: Model, x: Images, y: Labels) -> int:
    """Return how many images stand although every pixel may have any value."""
    return int(standing_anywhere(model, x, y).sum())


def _gradient_of(losses: torch.Tensor, point: Images) -> Images | None:
    """Return the gradient at `point`, None if the losses do not depend on it."""
    if not losses.requires_grad:
        return None
    return torch.autograd.grad(losses.sum(), point, allow_unused=True)[0]
