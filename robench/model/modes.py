"""Evaluation mode for networks of which some part has no modes."""

from __future__ import annotations

from torch import nn


def switch_to_evaluation(net: nn.Module) -> bool:
    """Put a network into evaluation mode; a part that refuses with NotImplementedError stays as it is.

    A program of `torch.export` refuses so: it computes what it computed when it was exported, in any mode.

    Args:
        net: the network; whoever calls puts the modes back.

    Returns:
        Whether every part took the mode.
    """
    try:
        net.eval()
    except NotImplementedError:
        parts = [switch_to_evaluation(part) for part in net.children()]
        if not all(parts):  # the refusal was a part's, and came before the network's own flag was reached
            net.training = False
        return False
    return True
