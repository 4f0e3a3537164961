"""Several tries of one attack: which one to keep for each image."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from robench.attack.losses import Loss
    from robench.attack.oracle import Oracle
    from robench.types import Images


def strongest(oracle: Oracle, restarts: int, attempt: Callable[[int], Images], loss: Loss) -> Images:
    """Return, per image, the try whose last point has the highest loss on the model itself.

    Images the oracle dropped keep what they had. In a joint batch points of different tries must not be
    mixed, so the whole batch of the highest mean loss is returned. Comparing costs one forward pass a try;
    a single try is returned as it is, unasked.

    Args:
        oracle: the road to the model.
        restarts: number of tries.
        attempt: gives the last point of try 0, 1, ...
        loss: what to compare by.
    """
    import torch

    from robench.attack.norms import per_image
    from robench.model.interface import Coupling

    oracle.begin_try()
    kept = attempt(0)
    if restarts == 1:
        return kept
    best = oracle.value(loss, kept)
    for restart in range(1, restarts):
        if oracle.finished:
            break
        oracle.begin_try()
        point = attempt(restart)
        value = oracle.value(loss, point)
        if oracle.model.coupling is Coupling.JOINT:
            better = (value.mean() > best.mean()).expand(len(value))
        else:
            better = value > best
        best = torch.where(better, value, best)
        kept = torch.where(per_image(better, kept), point, kept)
    return kept
