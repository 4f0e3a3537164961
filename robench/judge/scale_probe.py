"""Does the success of an ascent of cross-entropy depend on the scale of a model's scores?

Multiplying the scores, or applying an increasing function to them, changes no class, so the model stays as
robust as before. But if scores lie close together, cross-entropy treats all wrong classes equally and misses
the nearest one, and after an increasing function its gradient may ignore the wrong classes. An attack on it
then leaves images standing that the same attack breaks on larger scores, or on the margin of the scores.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from robench.attack.losses import cross_entropy, score_margin, scores
from robench.judge.output_probes import MANY, lead_of
from robench.model.interface import Coupling, GradientSource, Model, OutputKind, predictions
from robench.plurals import counted
from robench.record.schema import Finding
from robench.types import Images, Labels, Outputs, PerSample

CLOSE = 6.0
"""From this lead on, larger scores are not tried, and fewer images are used. On networks with leads of 4 to
12 the other ascents broke at most 2 of 42 to 64 images more (5 of 55 once); on the same networks with scores
multiplied by 0.4 to 0.03, 3 to 18 more."""

LEAD = 10.0
"""The scores are scaled to this lead for the comparison: cross-entropy then follows the nearest class."""

IMAGES, FEWER_IMAGES = 32, 16
"""Most images used if the lead is small, and if it is not."""

FEWEST = 3
"""A smaller number of additionally broken images never counts, even among few images."""

STEPS = 24
FIRST, GROWTH = 1 / 512, 1.2
"""Length of the first step of an ascent, in units of the box, and the ratio of successive steps: together
they reach 0.75."""

Loss = Callable[[Outputs], PerSample]


def scale_dependence(model: Model, x: Images, y: Labels) -> Finding | None:
    """Compare three ascents: of cross-entropy, of cross-entropy on larger scores, and of the margin.

    Args:
        model: in evaluation mode; its first gradient source is used.
        x: images (B, C, H, W) it gets right, at least one; the first ones are used.
        y: their labels (B,).

    Returns:
        `flat-output` if at some distance another ascent has broken more images, by a share of `MANY`.
        None if the result would be random (a model that draws noise).
    """
    if model.coupling is Coupling.JOINT or model.random or model.classes < 3:
        return None
    x, y = x[:IMAGES], y[:IMAGES]
    source = next(iter(model.sources.values()))
    with torch.no_grad():
        outputs, _ = source.surrogate(x)
    lead = lead_of(outputs[:, : model.classes], source.output)
    if not 0 < lead < float("inf"):
        return None
    if lead >= CLOSE:
        x, y = x[:FEWER_IMAGES], y[:FEWER_IMAGES]
    factor, kind = LEAD / lead, source.output
    usual = _broken_after(model, source, x, y, partial(_multiplied, y=y, kind=kind, factor=1.0))
    losses: dict[str, Loss] = {"their margin is climbed": partial(score_margin, y=y, kind=kind)}
    if lead < CLOSE:
        words = f"the scores are multiplied by {factor:.2g}"
        losses = {words: partial(_multiplied, y=y, kind=kind, factor=factor), **losses}
    excess = {words: _broken_after(model, source, x, y, loss) - usual for words, loss in losses.items()}
    least = max(MANY * len(y), FEWEST)
    steps = [k for more in excess.values() for k in range(STEPS) if int(more[k]) >= least]
    if not steps:
        return None
    words = next(one for one, more in excess.items() if int(more.max()) >= least)
    step = int(excess[words].argmax())
    width = model.bounds[1] - model.bounds[0]
    low, at, high = (_distance(k) * width for k in (min(steps), step, max(steps)))
    return Finding(
        code="flat-output",
        evidence=f"an ascent of the usual loss breaks {int(usual[step])} of {counted(len(y), 'image')}, and "
        f"{int(usual[step] + excess[words][step])} where {words}, which changes no class, at Linf "
        f"{at:.3g} (such differences: from {low:.3g} to {high:.3g}): the scores hide the way (the largest "
        f"leads the mean of the rest by {lead:.2g}, median)",
        remedy="Add an attack whose loss the size of the scores does not change (margin, DLR), or multiply "
        "the scores",
    )


def _distance(step: int) -> float:
    """Return how far an ascent may have come before a step, as a share of the box."""
    return FIRST * (GROWTH**step - 1) / (GROWTH - 1)


def _multiplied(outputs: Outputs, y: Labels, kind: OutputKind, factor: float) -> PerSample:
    return cross_entropy(factor * scores(outputs, kind), y, OutputKind.LOGITS)


def _broken_after(model: Model, source: GradientSource, x: Images, y: Labels, loss: Loss) -> Tensor:
    """Return the number of images that an ascent has broken before each of its steps, (STEPS,)."""
    low, high = model.bounds
    point, length = x.clone(), FIRST * (high - low)
    is_broken = torch.zeros(len(x), dtype=torch.bool, device=x.device)
    counts = []
    for _ in range(STEPS):
        leaf = point.detach().requires_grad_(True)
        with torch.enable_grad():
            surrogate, own = source.surrogate(leaf)
            losses = loss(surrogate)
            is_broken = is_broken | (predictions(own.detach()[:, : model.classes]) != y)
            counts.append(is_broken.sum())
            gradient = None
            if losses.requires_grad:
                (gradient,) = torch.autograd.grad(losses.sum(), leaf, allow_unused=True)
        if gradient is not None:
            step = length * gradient.nan_to_num(0.0).sign()
            point = (point + step.to(point.dtype)).clamp(low, high)
        length *= GROWTH
    return torch.stack(counts)
