"""Rules of an economical cascade that predict whether an attack can still break an image.

A rule depends on one image alone, so that no decision depends on the batch. Each is a guess: it extrapolates
a linear model of the scores, or the last progress of an attack. A joint batch is one problem: it goes on as a
whole as long as one of its images may break.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from attacks.minimal.hyperplane import step_to_hyperplane
from robench.model.interface import Coupling

if TYPE_CHECKING:
    from attacks.gradient.apgd_loop import Watch
    from attacks.minimal.fab import Linearise
    from robench.attack.oracle import Oracle
    from robench.attack.threat import ThreatModel
    from robench.types import Images, Mask, PerSample

OPTIMISM = 2.0
"""Assumed progress of an attack, as a multiple of its last progress; 1 is linear extrapolation.

Progress of ascent, FAB and random search slows down, so linear extrapolation is already optimistic. The
factor allows for an image with an unlucky last block.
"""

REACHED = 1e-3  # share of a distance within which a hyperplane counts as reached: rounding in float32
FAB_BLOCK = 10  # steps of FAB between two checks, because its points oscillate around the boundary


def linearised_distance(x: Images, point: Images, linearise: Linearise, threat: ThreatModel) -> PerSample:
    """Return the distance (B,) of the clean image from the boundary linearised at `point`.

    One forward and one backward pass. It is the size of the smallest step inside the box to the hyperplane,
    which is FAB's step from the clean image (Croce & Hein 2020, arXiv:1907.02044, section 3.2), and exact for
    a linear model. It has no unit of scores, so models can be told by one number what is far. Infinite where
    the box ends before the hyperplane, where there is no slope, and for images that are not asked about; 0
    where the clean image is beyond it.

    Args:
        x: clean images (B, C, H, W).
        point: points of linearisation, (B, C, H, W).
        linearise: returns the attacker's lead, (B,), and its gradient (B, C, H, W).
        threat: norm and box; the radius is not used.
    """
    lead, slope = linearise(point)
    rise = (slope * (point - x)).flatten(1).sum(dim=1) - lead
    is_finite = rise.isfinite()
    rise = rise.where(is_finite, 0.0).clamp_min(0)
    step = step_to_hyperplane(x, slope, rise, norm=threat.norm, bounds=threat.bounds)
    in_box = (slope * step).flatten(1).sum(dim=1) >= (1 - REACHED) * rise
    return threat.norm.size(step).where(is_finite & in_box, torch.inf)


def any_of(oracle: Oracle, hopeful: Mask) -> Mask:
    """Return the images that go on, (B,): the hopeful ones, and in a joint batch all if one is."""
    if oracle.model.coupling is Coupling.JOINT:
        return hopeful.any().expand(len(hopeful))
    return hopeful


def ascending(oracle: Oracle, steps: int) -> Watch | None:
    """Return the rule for `climb`: go on while the loss, if it rises on as it did, becomes positive in time.

    The loss must be positive exactly beyond the boundary. Asked at Auto-PGD's checkpoints: what counts is how
    much the best loss rose since the last one. The first block is not judged, for it starts with steps across
    the whole ball. None for a joint batch, whose images all have the mean loss: that says nothing about the
    first to break.
    """
    if oracle.model.coupling is Coupling.JOINT:
        return None
    history: list[tuple[PerSample, int]] = []

    def watch(best: PerSample, step: int) -> Mask:
        history.append((best, step))
        if len(history) == 1:
            return torch.ones_like(oracle.broken)
        (before, then), _ = history[-2:]
        return best + OPTIMISM * (best - before) / (step - then) * (steps - step) > 0

    return watch


def shrinking(oracle: Oracle, eps: float, steps: int) -> Watch:
    """Return the rule for `walk`: go on while the smallest adversarial point, shrinking on, enters the ball.

    Asked after each FAB_BLOCK steps, from the second on. An image without any adversarial point by
    then stops.
    """
    history: list[PerSample] = []

    def watch(smallest: PerSample, step: int) -> Mask:
        if step % FAB_BLOCK:
            return torch.ones_like(oracle.broken)
        history.append(smallest)
        if len(history) == 1:
            return torch.ones_like(oracle.broken)
        gain = (history[-2] - smallest).nan_to_num(0.0, posinf=0.0)
        hopeful = smallest - OPTIMISM * gain / FAB_BLOCK * (steps - step) <= eps
        # Its first adversarial point came in this block: there is no progress to measure yet.
        fresh = history[-2].isinf() & smallest.isfinite()
        return any_of(oracle, hopeful | fresh)

    return watch


def searching(oracle: Oracle, *, least: int, rival: PerSample, close: Mask) -> Watch:
    """Return the rule for Square's `search`: `least` queries for every image, all of them for a few.

    Asked when `least` queries are spent (one more if odd), twice as many, four times as many. An image goes
    on if it is a close call, or where the search without gradients has come as far as the best point that
    gradients found: that is what masked gradients look like, and then nothing else will break it.

    Args:
        oracle: access to the model.
        least: queries that every image gets, at least 2.
        rival: loss (B,) of the best point found by other methods.
        close: images (B,) that go on independently of the search's progress.
    """
    looks = 0
    going = torch.ones_like(oracle.broken)

    def watch(value: PerSample, queries: int) -> Mask:
        nonlocal going, looks
        if queries == (least + 1) // 2 * 2 ** (looks + 1):
            looks += 1
            going = any_of(oracle, value.isfinite() & (close | (value >= rival)))
        return going

    return watch
