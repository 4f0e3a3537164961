"""Does it hang on the size of a model's scores how far an ascent of cross-entropy gets?

Scores that are multiplied, or bent by a rising function, name the same classes, so the model is as robust as
before. But where they lie close together, cross-entropy aims at all wrong classes alike and misses the near
one, and where they are bent, its slope forgets the wrong classes: an attack that climbs it then leaves images
standing that fall to the same attack on larger scores, or on their margin.
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
"""From this lead on larger scores are not tried, and fewer images asked. Of networks with leads of 4 to 12
the other ascents broke at most 2 of 42 to 64 images more (5 of 55 once); of the same with scores of 0.4 to
0.03 times the size, 3 to 18."""

LEAD = 10.0
"""The lead to which scores are brought for the comparison: cross-entropy then follows the nearest class."""

IMAGES, FEWER_IMAGES = 32, 16
"""Most images that are asked about where the lead is close, and where it is not."""

FEWEST = 3
"""Fewer images that fall more say nothing, however few there are."""

STEPS = 24
FIRST, GROWTH = 1 / 512, 1.2
"""Length of the first step of an ascent, in units of the box, and by how much each is longer than the last:
together they go as far as 0.75."""

Loss = Callable[[Outputs], PerSample]


def scale_dependence(model: Model, x: Images, y: Labels) -> Finding | None:
    """Compare how far ascents get: of cross-entropy, of the same on larger scores, and of their margin.

    Args:
        model: in evaluation mode; its first gradient source is followed.
        x: images (B, C, H, W) it gets right, at least one; the first ones are asked about.
        y: their labels (B,).

    Returns:
        `flat-output` if at some distance another ascent has broken more of the images, by `MANY` of them.
        None where chance would decide (a model that draws noise).
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
    for words, loss in losses.items():
        counts = _broken_after(model, source, x, y, loss)
        more = (counts - usual).tolist()
        step = max(range(STEPS), key=lambda k: more[k])
        if more[step] >= max(MANY * len(y), FEWEST):
            return Finding(
                code="flat-output",
                evidence=f"an ascent of the usual loss breaks {int(usual[step])} of "
                f"{counted(len(y), 'image')}, and {int(counts[step])} where {words}, which changes no class: "
                f"the scores hide the way (the largest leads the mean of the rest by {lead:.2g}, median)",
                remedy="Add an attack whose loss the size of the scores does not change (margin, DLR), or "
                "multiply the scores",
            )
    return None


def _multiplied(outputs: Outputs, y: Labels, kind: OutputKind, factor: float) -> PerSample:
    return cross_entropy(factor * scores(outputs, kind), y, OutputKind.LOGITS)


def _broken_after(model: Model, source: GradientSource, x: Images, y: Labels, loss: Loss) -> Tensor:
    """Return how many images an ascent has broken before each of its steps, (STEPS,)."""
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
