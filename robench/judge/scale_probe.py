"""Does it hang on the scale of a model's scores how far an ascent of cross-entropy gets?

Multiplied scores name the same classes, so the model is as robust as before. Where the scores lie close
together, cross-entropy aims at all wrong classes alike and misses the near one: an attack that climbs it then
leaves images standing that fall to the same attack on ten times the scores.
"""

from __future__ import annotations

import torch
from torch import Tensor

from robench.attack.losses import cross_entropy, scores
from robench.judge.output_probes import MANY, lead_of
from robench.model.interface import Coupling, GradientSource, Model, OutputKind, predictions
from robench.plurals import counted
from robench.record.schema import Finding
from robench.types import Images, Labels

CLOSE = 3.0
"""From this lead on nothing is measured. Of networks with leads of 4 to 12 the second ascent broke at most 2
of 45 to 64 images more (5 of 55 once); of the same with scores of 0.3 to 0.03 times the size, 3 to 18."""

LEAD = 10.0
"""The lead to which scores are brought for the comparison: cross-entropy then follows the nearest class."""

FEWEST = 3
"""Fewer images that fall more say nothing, however few there are."""

STEPS = 24
FIRST, GROWTH = 1 / 512, 1.2
"""Length of the first step of an ascent, in units of the box, and by how much each is longer than the last:
together they go as far as 0.75."""


def scale_dependence(model: Model, x: Images, y: Labels) -> Finding | None:
    """Compare how far two ascents get, on the scores as they are and on the same brought to a wide lead.

    Args:
        model: in evaluation mode; its first gradient source is followed.
        x: images (B, C, H, W) it gets right, at least one.
        y: their labels (B,).

    Returns:
        `flat-output` if at some distance the second ascent has broken more of the images, by `MANY` of them.
        None where chance would decide (a model that draws noise) and where the scores lead far.
    """
    if model.coupling is Coupling.JOINT or model.random or model.classes < 3:
        return None
    source = next(iter(model.sources.values()))
    with torch.no_grad():
        outputs, _ = source.surrogate(x)
    lead = lead_of(outputs[:, : model.classes], source.output)
    if not 0 < lead < CLOSE:
        return None
    factor = LEAD / lead
    plain, wide = (_broken_after(model, x, y, scale) for scale in (1.0, factor))
    more = (wide.sum(dim=1) - plain.sum(dim=1)).tolist()
    step = max(range(STEPS), key=lambda k: more[k])
    if more[step] < max(MANY * len(y), FEWEST):
        return None
    before, after = int(plain[step].sum()), int(wide[step].sum())
    return Finding(
        code="flat-output",
        evidence=f"an ascent of the usual loss breaks {before} of {counted(len(y), 'image')}, "
        f"and {after} where the scores are multiplied by {factor:.2g}, which changes no class: they lie "
        f"close together (the largest leads the mean of the rest by {lead:.2g}, median)",
        remedy="Multiply the scores (the classes stay the same), or use a loss that their scale does not "
        "change (margin, DLR)",
    )


def _broken_after(model: Model, x: Images, y: Labels, factor: float) -> Tensor:
    """Return which images each step of an ascent, or one before it, has broken, (STEPS, B)."""
    source = next(iter(model.sources.values()))
    low, high = model.bounds
    point, is_broken = x.clone(), torch.zeros(len(x), dtype=torch.bool, device=x.device)
    rows, length = [], FIRST * (high - low)
    for _ in range(STEPS):
        point = (point + length * _direction(source, point, y, factor)).clamp(low, high)
        with torch.no_grad():
            is_broken = is_broken | (predictions(model.net(point)[:, : model.classes]) != y)
        rows.append(is_broken)
        length *= GROWTH
    return torch.stack(rows)


def _direction(source: GradientSource, at: Images, y: Labels, factor: float) -> Images:
    """Return the sign of the gradient of cross-entropy on multiplied scores; zero where there is none."""
    leaf = at.detach().requires_grad_(True)
    with torch.enable_grad():
        outputs, _ = source.surrogate(leaf)
        losses = cross_entropy(factor * scores(outputs, source.output), y, OutputKind.LOGITS)
        if not losses.requires_grad:
            return torch.zeros_like(at)
        (gradient,) = torch.autograd.grad(losses.sum(), leaf, allow_unused=True)
    return torch.zeros_like(at) if gradient is None else gradient.nan_to_num(0.0).sign()
