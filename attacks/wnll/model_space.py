"""The model of a joint classifier on a given batch, as a gradient source."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn

    from robench.attack.losses import Loss
    from robench.attack.oracle import Oracle
    from robench.model.interface import GradientSource
    from robench.types import Images, Mask, Outputs, PerSample


def model_on(base: GradientSource, batch: Images, moving: Sequence[Mask], net: nn.Module) -> GradientSource:
    """Return the joint model for which all images except those of one group are as in a batch.

    Args:
        base: the gradient source of the joint model.
        batch: (B, C, H, W).
        moving: groups (B,) that share the images out; an image's outputs are those of the pass in which its
            group moves and the others stand.
        net: the joint model's network, which is evaluated on the whole batch too.
    """
    import torch

    from robench.attack.norms import per_image
    from robench.model.interface import GradientSource

    def surrogate(x: Images) -> tuple[Outputs, Outputs]:
        rows: Outputs | None = None
        for group in moving:
            outputs, _ = base.surrogate(torch.where(per_image(group, x), x, batch))
            rows = outputs if rows is None else torch.where(group[:, None], outputs, rows)
        assert rows is not None  # there is at least one group
        with torch.no_grad():
            own: Outputs = net(x)
        return rows, own

    return GradientSource(
        base.name,
        surrogate,
        base.output,
        forwards=len(moving) * base.forwards + 1,
        backwards=len(moving) * base.backwards,
        template_free=base.template_free,
        unseen=base.unseen,
    )


def values_on(oracle: Oracle, model: GradientSource, loss: Loss, points: Images) -> PerSample:
    """Return the loss (B,) of a model on a joint batch, without a gradient; negated under a targeted goal.

    If the budget is too small, the model is not evaluated and the values are -inf.
    """
    import torch

    from robench.attack.threat import Goal

    ledger, budget = oracle.ledger, oracle.threat.budget
    if budget is not None and int((ledger.forwards + ledger.backwards).max()) + model.forwards > budget:
        return torch.full_like(oracle.best_size, -torch.inf)
    oracle.charge(forwards=model.forwards, backwards=0)
    with torch.no_grad():
        outputs, _ = model.surrogate(points)
        value = loss(outputs, oracle.y, model.output)
    value = -value if oracle.threat.goal is Goal.TARGETED else value
    return value.where(~value.isnan(), -torch.inf)
