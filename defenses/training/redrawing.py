"""Networks of the same architecture with other first weights."""

from __future__ import annotations

import copy

from torch import nn

from robench.randomness import borrowed_global_randomness, seed_from


def redrawn(network: nn.Module, seed: int, *label: object) -> nn.Module:
    """Return a copy whose layers drew their weights anew, by their own `reset_parameters`.

    A weight that no layer can draw anew, such as a lone parameter of a foreign module, is copied; and layers
    draw torch's default, whatever an architecture replaced it with.

    Args:
        network: stays as it is.
        seed: the only source of chance.
        label: separates uses of the same seed.
    """
    made = copy.deepcopy(network)
    with borrowed_global_randomness(seed_from(seed, "redrawn", *label)):
        for part in made.modules():
            reset = getattr(part, "reset_parameters", None)
            if callable(reset):
                reset()
    return made
