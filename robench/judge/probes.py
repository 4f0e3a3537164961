"""Questions put to a model before it is attacked: is there anything about it that would fool an attack?

Checks of AutoAttack (Croce & Hein 2020, arXiv:2003.01690, and its `checks`), the signs of gradient masking of
Athalye et al. 2018 (arXiv:1802.00420, section 3.1) and Carlini et al. 2019 (arXiv:1902.06705, section 3.2),
and the indicators of attack failure of Pintor et al. 2022 (arXiv:2106.09947) that need no attack. A cause is
named once: what only follows from it is not named too.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

from robench.attack.losses import cross_entropy
from robench.judge.unbounded_ascent import standing_anywhere
from robench.model.evaluation import evaluation_mode
from robench.model.interface import NOT_FINITE, Coupling, GradientSource, Model, OutputKind, predictions
from robench.model.tested_network import networks_under_test
from robench.record.schema import Finding
from robench.types import Images, Labels, Outputs

VERSION = 4
"""Goes into the key of the units that hold the answers."""

IMAGES = 64
"""Most images that are asked about."""

ROUNDING = 1e-3
"""Largest relative difference of outputs that another batch may make, by rounding."""

HUGE = 1e5
"""Scores above it lose the digits that gradients are made of: float32 has seven."""

MANY = 0.1
"""Share of images from which a defect counts."""

DISTANCE = 1e-3
"""Length of a short step, in units of the box."""

DISTANCES = (DISTANCE, 10 * DISTANCE, 100 * DISTANCE)
"""Lengths in L2 at which a slope is measured: one that holds at any of them is right. A network of half
precision has steps of its own, wider than the shortest of them."""


RANDOM = "random-output"
"""Code of a network that is random by itself: the judge then asks it under fresh noise."""

DRAWS = 10
UNSTABLE = 0.1
"""Mean relative change of the loss, at random points as near as `DISTANCE`, that counts."""


def probe(model: Model, x: Images, y: Labels) -> tuple[Finding, ...]:
    """Return what makes numbers about this model doubtful, before any attack.

    Args:
        model: asked in evaluation mode; left as it was.
        x: some clean images (B, C, H, W); the first `IMAGES` are used. A joint model gets all of them.
        y: their labels (B,).

    Returns:
        `changes-input` if it writes into its images, and at most one more: `random-output`,
        `batch-dependence`, `label-only`, `undeclared-simplex`, `saturated-output`, `exploding-output`,
        `no-gradient`, `wrong-gradient`, `unstable-predictions` or `unreachable`.
    """
    if model.coupling is not Coupling.JOINT:
        x, y = x[:IMAGES], y[:IMAGES]
    with evaluation_mode(model.net):
        return (*_changes_input(model, x), *_first_defect(model, x, y))


def _first_defect(model: Model, x: Images, y: Labels) -> tuple[Finding, ...]:
    """Return the first thing that is wrong with the model's answers or with the way to its gradient."""
    outputs = _outputs(model, x)
    if bool((predictions(outputs) == NOT_FINITE).any()):
        return ()  # the judge tells of it on every unit, and nothing below would be true
    for question in (_random, _batch_dependent):
        if found := question(model, x, outputs):
            return (found, *_without_graph(model, x))
    right = predictions(outputs) == y
    if not bool(right.any()) or model.neighbourhood is not None:
        return ()  # a graph head saturates by nature; its gradient sources are made for that
    return _about_gradients(model, x, y, right)


def _changes_input(model: Model, x: Images) -> tuple[Finding, ...]:
    changed = max((tested.overwritten(x) for tested in networks_under_test(model.net)), default=0)
    if not changed:
        return ()
    return (
        Finding(
            code="changes-input",
            evidence=f"the network wrote into {changed} of the {len(x)} images it was given",
            remedy="It is given copies here, so no number suffers; elsewhere it may change data of others",
        ),
    )


def _about_gradients(model: Model, x: Images, y: Labels, right: torch.Tensor) -> tuple[Finding, ...]:
    """Return what is wrong with the way to the gradient: the first cause, if any.

    What counts is what an attacker differentiates, the first gradient source: a smoothed model may answer
    with votes that say no more than a class, and yet offer the mean of the softmax.
    """
    source = next(iter(model.sources.values()))
    with torch.no_grad():
        seen, _ = source.surrogate(x)
    found = (
        _label_only(seen)
        or _undeclared_simplex(source, seen)
        or _exploding(seen)
        or _saturated(model, source, seen, y, right)
        or _gradients(model, x, y, right)
        or _unstable(model, x, y, right)
        or _unreachable(model, x, y, right)
    )
    return (found,) if found else ()


def _outputs(model: Model, x: Images) -> Outputs:
    with torch.no_grad():
        outputs: Outputs = model.net(x)
    return outputs


def _differ(first: Outputs, second: Outputs) -> torch.Tensor:
    """Tell per image whether two answers differ by more than rounding; a masked class equals itself."""
    apart = (first - second).abs().masked_fill(first == second, 0.0)
    return apart.amax(dim=1) > ROUNDING * _largest(first).clamp_min(1e-6)


def _largest(outputs: Outputs) -> torch.Tensor:
    """Return the largest size of a score that is not masked."""
    return outputs.abs().masked_fill(outputs == -torch.inf, 0.0).amax()


def _random(model: Model, x: Images, outputs: Outputs) -> Finding | None:
    differ = _differ(outputs, _outputs(model, x))
    if not bool(differ.any()):
        return None
    return Finding(
        code="random-output",
        evidence=f"{int(differ.sum())} of {len(x)} images got another answer when asked again",
        remedy="Attack the expectation over the randomness (EOT), and draw it by `robench.model.noise`",
    )


def _batch_dependent(model: Model, x: Images, outputs: Outputs) -> Finding | None:
    """Ask in another order and in halves; a joint model may depend on its batch, but not on its order."""
    order = torch.arange(len(x), device=x.device).flip(0)
    again = _outputs(model, x[order])[order]
    differ = _differ(outputs, again)
    if model.coupling is not Coupling.JOINT and len(x) > 1:
        half = max(len(x) // 2, 1)
        differ |= _differ(outputs, torch.cat([_outputs(model, part) for part in torch.split(x, half)]))
        differ[0] |= bool(_differ(outputs[:1], _outputs(model, x[:1])))
    if not bool(differ.any()):
        return None
    return Finding(
        code="batch-dependence",
        evidence=f"the answer to {int(differ.sum())} of {len(x)} images depends on the rest of the batch",
        remedy="Put the model into evaluation mode, or declare it joint",
    )


def _without_graph(model: Model, x: Images) -> tuple[Finding, ...]:
    """Find outputs that no gradient can come back from: packed integer weights, a detach, a call to NumPy."""
    source = model.sources.get("exact")
    if source is None:
        return ()
    leaf = x[:2].detach().clone().requires_grad_(True)
    with torch.enable_grad():
        surrogate, _ = source.surrogate(leaf)
        gradient = _gradient_of(surrogate, leaf)
    return (_no_gradient(len(x)),) if gradient is None else ()


def _no_gradient(count: int) -> Finding:
    return Finding(
        code="no-gradient",
        evidence=f"the gradient is exactly zero for all {count} images asked about",
        remedy="Attack through a surrogate (BPDA), or use score- and decision-based attacks",
    )


def _label_only(outputs: Outputs) -> Finding | None:
    """Find outputs that say no more than a class: one entry of each row stands out, all others are alike."""
    low, high = outputs.amin(dim=1, keepdim=True), outputs.amax(dim=1, keepdim=True)
    steps = ((outputs - low) / (high - low).clamp_min(1e-30)).round(decimals=5)
    alike = (steps == 0) | (steps == 1)
    same = (high - high[0]).abs().amax() <= 1e-6 * high.abs().amax().clamp_min(1e-6)
    if len(outputs) < 2 or not bool(alike.all()) or not bool(same) or outputs.shape[1] < 3:
        return None
    return Finding(
        code="label-only",
        evidence=f"all {len(outputs)} outputs are the same two numbers: the class and nothing else",
        remedy="Attack the scores the class is taken from, or use attacks that need labels only",
    )


def _undeclared_simplex(source: GradientSource, outputs: Outputs) -> Finding | None:
    if source.output is not OutputKind.LOGITS or len(outputs) < 2:
        return None
    on_simplex = bool(((outputs >= 0) & (outputs <= 1)).all())
    ones = bool(((outputs.sum(dim=1) - 1).abs() < 1e-4).all())
    if not (on_simplex and ones):
        return None
    return Finding(
        code="undeclared-simplex",
        evidence="every output is a probability distribution, but the model says it returns logits",
        remedy="Declare `output: simplex`: a softmax on top of a softmax flattens the loss",
    )


def _exploding(outputs: Outputs) -> Finding | None:
    largest = float(_largest(outputs))
    if largest < HUGE:
        return None
    return Finding(
        code="exploding-output",
        evidence=f"scores reach {largest:.3g}: float32 keeps no digits of a small change",
        remedy="Scale the scores down: the classes stay the same and gradients come back",
    )


def _saturated(
    model: Model, source: GradientSource, outputs: Outputs, y: Labels, right: torch.Tensor
) -> Finding | None:
    """Find confidence so high that the loss is exactly zero: p_y rounds to 1."""
    losses = cross_entropy(outputs[:, : model.classes], y, source.output)[right]
    share = float((losses < 1e-30).float().mean())
    if share < MANY:
        return None
    return Finding(
        code="saturated-output",
        evidence=f"the loss is zero to the last digit for {share:.0%} of the images it gets right",
        remedy="Use a loss without exponentials (margin, DLR), or divide the logits by a temperature",
    )


def _gradients(model: Model, x: Images, y: Labels, right: torch.Tensor) -> Finding | None:
    """Compare the gradient of each source with finite differences of its own loss along it.

    A surrogate (BPDA, straight-through) is compared with itself only where it claims to be the model.
    """
    source = model.sources.get("exact")
    if source is None or model.coupling is Coupling.JOINT:
        return None
    point = x[right].detach().requires_grad_(True)
    labels = y[right]

    def loss(at: Images) -> torch.Tensor:
        surrogate, _ = source.surrogate(at)
        return cross_entropy(surrogate, labels, source.output)

    with torch.enable_grad():
        losses = loss(point)
        gradient = _gradient_of(losses, point)
    if gradient is None or not bool((gradient.flatten(1).abs().amax(dim=1) > 0).any()):
        if gradient is not None:
            left = int(standing_anywhere(model, x[right], labels).sum())
            if left <= MANY * len(labels):
                return None  # constant around the images alone: from elsewhere its gradient leads away
        return _no_gradient(len(point))
    wrong = torch.ones(len(point), dtype=torch.bool, device=point.device)
    for distance in DISTANCES:
        slope, found = _slopes(loss, point.detach(), gradient, distance)
        wrong &= (found - slope).abs() > 0.5 * slope.abs() + 1e-4
    if float(wrong.float().mean()) <= 0.5:
        return None
    return Finding(
        code="wrong-gradient",
        evidence=f"for {int(wrong.sum())} of {len(point)} images the loss does not change along the gradient "
        "as the gradient says",
        remedy="The gradient is masked or noisy: smooth the model for the attacker (BPDA, EOT)",
    )


def _slopes(
    loss: Callable[[Images], torch.Tensor], x: Images, gradient: Images, distance: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the slope along the unit gradient as the gradient says, and by central differences, (B,)."""
    shape = (-1, *(1,) * (x.ndim - 1))
    length = gradient.flatten(1).norm(dim=1)
    direction = gradient / length.clamp_min(1e-30).view(shape)
    with torch.no_grad():
        found = (loss(x + distance * direction) - loss(x - distance * direction)) / (2 * distance)
    return length, found


def _unstable(model: Model, x: Images, y: Labels, right: torch.Tensor) -> Finding | None:
    """Measure how much the model's own loss changes at random points nearby (Pintor et al. 2022, I2).

    They take a radius of 4/255, at which the loss of many a sound network changes much; here it is one at
    which no smooth function does.
    """
    if model.coupling is Coupling.JOINT:
        return None
    draw = torch.Generator().manual_seed(0)
    points, labels = x[right], y[right]

    def loss(at: Images) -> torch.Tensor:
        return cross_entropy(_outputs(model, at)[:, : model.classes], labels, model.output)

    here = loss(points)
    total = torch.zeros_like(here)
    for _ in range(DRAWS):
        noise = 2 * torch.rand(points.shape, generator=draw).to(points) - 1
        total += (loss((points + DISTANCE * noise).clamp(*model.bounds)) - here).abs()
    change = (total / DRAWS / here.clamp_min(DISTANCE)).clamp_max(1)
    if float(change.mean()) <= UNSTABLE:
        return None
    return Finding(
        code="unstable-predictions",
        evidence=f"{DISTANCE} away, at random, the loss changes by {float(change.mean()):.0%} on average",
        remedy="No gradient sees that: attack the loss averaged over the neighbourhood (EOT), or without one",
    )


def _unreachable(model: Model, x: Images, y: Labels, right: torch.Tensor) -> Finding | None:
    """Let every pixel go anywhere in the box: an attack with that much room must break everything."""
    if model.coupling is Coupling.JOINT:
        return None
    labels = y[right]
    left = int(standing_anywhere(model, x[right], labels).sum())
    if left <= MANY * len(labels):
        return None
    return Finding(
        code="unreachable",
        evidence=f"{left} of {len(labels)} images stand although every pixel may become anything",
        remedy="The attack does not see the model: try other gradient sources, black-box attacks, more steps",
    )


def _gradient_of(losses: torch.Tensor, point: Images) -> Images | None:
    """Return the gradient at `point`, None where the losses do not depend on it."""
    if not losses.requires_grad:
        return None
    return torch.autograd.grad(losses.sum(), point, allow_unused=True)[0]
