"""How long a pass with its gradient takes on each proven copy of a network, on the run's own images."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Protocol

import torch

from robench.model.interface import GradientSource, Model
from robench.model.proof import ask
from robench.types import Images

IMAGES = 64
"""Most images of a pass that is timed."""
ROUNDS = 3
"""Passes of which the shortest counts, after one that warms up; the copies take turns."""


class Copies(Protocol):
    """The copies of a model's networks, by name."""

    def using(self, name: str) -> AbstractContextManager[None]:
        """Inside the block a copy replaces the original."""


def seconds_of_passes(
    model: Model, copies: Copies, names: Sequence[str], x: Images, source: GradientSource
) -> dict[str, float]:
    """Return the seconds of a pass and its gradient by name of the copy; infinite where the pass fails.

    Args:
        model: the model.
        copies: the copies of its networks.
        names: which of them are timed; names of no copy stand for the network itself.
        x: images (B, C, H, W), of which the first count.
        source: what is differentiated.
    """
    part, seconds = x[:IMAGES], dict.fromkeys(names, math.inf)
    for turn in range(1 + ROUNDS):
        for name in names:
            with copies.using(name):
                took = _seconds(model, part, source)
            if turn:
                seconds[name] = min(seconds[name], took)
    return seconds


def _seconds(model: Model, x: Images, source: GradientSource) -> float:
    """Return the seconds of one pass; infinite if it fails, as the attack would tell."""
    _wait(x)
    start = time.perf_counter()
    try:
        ask(model, source, x, without_gradient=False)
    except Exception:  # noqa: BLE001 - the boundary: what cannot be timed is not chosen for its speed
        return math.inf
    _wait(x)
    return time.perf_counter() - start


def _wait(x: Images) -> None:
    """Wait until the device has done what it was told."""
    if x.is_cuda:
        torch.cuda.synchronize(x.device)
