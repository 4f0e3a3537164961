"""A plugin module that imports torch, which makes every listing slow."""

import torch

from tests.robench.conformance.mutants import Honest


class Heavy(Honest):
    """Imports torch at once."""

    breaks = "light"

    def point(self, oracle, gradient, rng):
        return torch.clone(Honest.point(self, oracle, gradient, rng))
