"""Prepares a network for a training, and restores its state; copies with other initial weights."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import nn

from robench.randomness import borrowed_global_randomness, seed_from


@contextmanager
def frozen_except(network: nn.Module, parameters: Sequence[nn.Parameter]) -> Iterator[None]:
    """Inside the block only the given parameters of the network get a gradient."""
    ids = {id(parameter) for parameter in parameters}
    others = [p for p in network.parameters() if p.requires_grad and id(p) not in ids]
    for parameter in others:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in others:
            parameter.requires_grad_(True)


@contextmanager
def training_layout(network: nn.Module, device: torch.device) -> Iterator[torch.memory_format]:
    """Move the network to a device and yield the memory format that images (B, C, H, W) should have.

    Afterwards the network has its own memory format and modes again, and no gradients. On a CPU convolutions
    run about 1.5 times as fast on channels-last tensors.
    """
    modes = [(part, part.training) for part in network.modules()]
    network.to(device)
    channels_last = device.type == "cpu" and any(isinstance(part, nn.Conv2d) for part, _ in modes)
    if channels_last:
        network.to(memory_format=torch.channels_last)
    try:
        yield torch.channels_last if channels_last else torch.contiguous_format
    finally:
        if channels_last:
            network.to(memory_format=torch.contiguous_format)
        network.zero_grad(set_to_none=True)
        for part, training in modes:
            part.training = training


def fresh_copy(network: nn.Module, seed: int, *label: object) -> nn.Module:
    """Return a copy whose layers have drawn new weights, by their own `reset_parameters`.

    A weight that no layer can draw, such as a parameter of a foreign module, is copied; and layers use
    PyTorch's default initialisation, even if the architecture uses another.

    Args:
        network: not changed.
        seed: the only source of randomness.
        label: separates uses of the same seed.
    """
    fresh = copy.deepcopy(network)
    with borrowed_global_randomness(seed_from(seed, "redrawn", *label)):
        for part in fresh.modules():
            reset = getattr(part, "reset_parameters", None)
            if callable(reset):
                reset()
    return fresh
