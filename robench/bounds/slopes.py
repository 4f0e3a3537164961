"""alpha-CROWN: slopes of the lower lines that maximise each bound (Xu et al. 2021, arXiv:2011.13824).

Every function has its own slopes. The bound is concave in them as long as signs of coefficients do not
change, and any slopes are valid, so a few steps of Adam in float32 suffice; the bound is then computed again
in float64.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from robench.bounds.backward import Backward, Slopes
from robench.bounds.rows import Rows


class Climber:
    """Adam (Kingma & Ba 2015, arXiv:1412.6980) upwards on tensors that are leaves.

    Args:
        leaves: tensors that need a gradient, each with its step size.
        decay: factor of the step sizes after each step.
    """

    def __init__(self, leaves: Iterable[tuple[Tensor, float]], *, decay: float = 0.98) -> None:
        self._leaves = [(leaf, size, torch.zeros_like(leaf), torch.zeros_like(leaf)) for leaf, size in leaves]
        self._decay, self._count = decay, 0

    @torch.no_grad()
    def step(self, gradients: Iterable[Tensor | None]) -> None:
        """Move every leaf along its gradient; None where it had none."""
        self._count += 1
        first, second = 1 - 0.9**self._count, 1 - 0.999**self._count
        for (leaf, size, mean, square), gradient in zip(self._leaves, gradients, strict=True):
            if gradient is None:
                continue
            mean.mul_(0.9).add_(gradient, alpha=0.1)
            square.mul_(0.999).addcmul_(gradient, gradient, value=0.001)
            length = size * self._decay ** (self._count - 1) / first
            leaf.addcdiv_(mean, (square / second).sqrt_().add_(1e-8), value=length)


def optimised(
    backward: Backward, start: int, rows: Rows, *, steps: int, step_size: float = 0.1, decay: float = 0.98
) -> Slopes:
    """Return slopes that make the lower bound of each function large.

    Args:
        backward: in float32.
        start: the number of the node.
        rows: functions of it.
        steps: of Adam.
        step_size: the first.
        decay: of the step sizes.
    """
    slopes: Slopes = {}
    with torch.no_grad():
        backward.lower(start, rows, slopes=slopes, fill=True)
    if not slopes:
        return slopes
    leaves = [leaf.requires_grad_(True) for leaf in slopes.values()]
    climber = Climber(((leaf, step_size) for leaf in leaves), decay=decay)
    for _ in range(steps):
        with torch.enable_grad():
            value, _ = backward.lower(start, rows, slopes=slopes)
            gradients = torch.autograd.grad(value.sum(), leaves, allow_unused=True)
        climber.step(gradients)
        for leaf in leaves:
            leaf.data.clamp_(0, 1)
    return {number: leaf.detach() for number, leaf in slopes.items()}
