"""Evaluation mode for networks that may have parts without modes."""

from __future__ import annotations

from torch import nn


def switch_to_evaluation(net: nn.Module) -> bool:
    """Put a network into evaluation mode; a part that raises NotImplementedError keeps its mode.

    A program of `torch.export` does so: in any mode it computes the same as at its export.

    Args:
        net: the network; the caller restores the modes.

    Returns:
        Whether every part took the mode.
    """
    try:
        net.eval()
    except NotImplementedError:
        parts = [switch_to_evaluation(part) for part in net.children()]
        if not all(parts):  # a part raised before the network's own flag was set
            net.training = False
        return False
    return True
