"""Evaluation mode, in exact float32, after which the previous state is restored."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

from torch import nn

from robench.model.network_state import NetworkState
from robench.model.tested_network import AS_SET, networks_under_test
from robench.model.torch_state import float32_proper, kept_torch_state
from robench.randomness import kept_global_randomness


@contextmanager
def evaluation_mode(net: nn.Module) -> Iterator[NetworkState]:
    """Inside the block: evaluation mode and exact float32. Afterwards the network is restored bit for bit.

    Parameters, buffers, modes, flags, `.grad`, hooks and attributes are restored, also after an exception, no
    matter which code changed them; so are the global generators that a random network draws from.
    """
    state = NetworkState(net)
    try:
        precisions = {network.precision for network in networks_under_test(net)}
        with (
            nullcontext() if AS_SET in precisions else float32_proper(),
            kept_global_randomness(),
            kept_torch_state(),
        ):
            switch_to_evaluation(net)
            for part in state.parts:  # includes parts in plain lists and objects, which are not registered
                if getattr(part, "training", False):
                    switch_to_evaluation(part)
            yield state
    finally:
        state.restore()


def switch_to_evaluation(net: nn.Module) -> bool:
    """Put a network into evaluation mode; a part that refuses with NotImplementedError stays as it is.

    A program of `torch.export` refuses so: it computes what it computed when it was exported, in any mode.

    Args:
        net: the network; the caller restores the modes.

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
