"""Put a network into the state a training needs, and put it back."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import nn


@contextmanager
def frozen_except(network: nn.Module, parameters: Sequence[nn.Parameter]) -> Iterator[None]:
    """Inside the block only the given parameters of the network get a gradient."""
    chosen = {id(parameter) for parameter in parameters}
    frozen = [p for p in network.parameters() if p.requires_grad and id(p) not in chosen]
    for parameter in frozen:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in frozen:
            parameter.requires_grad_(True)


@contextmanager
def prepared(network: nn.Module, device: torch.device) -> Iterator[torch.memory_format]:
    """Move the network, yield the layout of its images; afterwards put back layout and modes.

    On a CPU convolutions run about 1.5 times as fast on channels-last tensors.
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
