"""One joint batch out of many: points that broke images in other batches are merged without losing others."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    from robench.attack.oracle import Oracle
    from robench.types import Images, PerSample


def merge(oracle: Oracle, worst_points: Images, promise: PerSample, *, passes: int) -> Images:
    """Return a joint batch that breaks at least as many images as the best one evaluated so far.

    Each image that stands in that batch, and was broken in another one, gets its worst point from there; the
    whole batch is asked again, for every image has changed neighbours now. What breaks more is kept. A group
    of images that does not is halved, most promising first; a single image is kept where the number broken
    does not fall. An image that stands with its worst point may stand in the way of others: it is put back
    to its clean point in the same way. After a round in which the number rose, another begins with who stands
    then. So the count approaches that of the image-by-image worst case over all batches, and every number is
    one that the model itself gave for the batch as a whole.

    Args:
        oracle: the road to a joint model.
        worst_points: each image's worst point in whatever batch it was met, (B, C, H, W).
        promise: its margin there, (B,); positive where it was broken.
        passes: forward passes of the whole batch, at most.
    """
    import torch

    from robench.attack.norms import per_image

    best = oracle.best_points
    points = best.points if best.most > 0 else oracle.x
    count, standing = best.most, ~best.kept_success
    rising = True
    while rising and passes > 0:
        rising = False
        there = (points == worst_points).flatten(1).all(dim=1)
        others = torch.where(per_image(there, points), oracle.x, worst_points)
        groups = [_ordered(standing & (promise > 0) & rows, promise) for rows in (~there, there)]
        while groups and passes > 0 and not oracle.finished:
            rows = groups.pop(0)
            if len(rows) == 0:
                continue
            trial = points.clone()
            trial[rows] = others[rows]
            success = oracle.successful(trial)
            passes -= 1
            total = int(success.sum())
            if total > count or (len(rows) == 1 and total == count):
                rising |= total > count
                points, count, standing = trial, total, ~success
            elif len(rows) > 1:
                middle = (len(rows) + 1) // 2
                groups += [rows[:middle], rows[middle:]]
    return points


def _ordered(rows: Tensor, promise: PerSample) -> Tensor:
    """Return the numbers of the images (B,) in question, most promising first."""
    numbers = rows.nonzero().squeeze(1)
    return numbers[promise[numbers].argsort(descending=True, stable=True)]
