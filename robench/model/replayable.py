"""Whether a pass of a network is the same each time, so that its kernels can be repeated without its code.

Code that draws random numbers, that notes something in an attribute, or that waits for the device to decide
something, would not run again.
"""

from __future__ import annotations

import random
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from robench.model.layer_pairs import hooked
from robench.types import Images


class NotReplayableError(RuntimeError):
    """A pass that cannot be repeated without its code."""


def probe(network: nn.Module, question: Callable[[Tensor], Any], x: Images) -> None:
    """Ask a network once, and refuse it if its code would have to run in every pass.

    Args:
        network: the network.
        question: images (B, C, H, W) to what it answers.
        x: images.

    Raises:
        NotReplayableError: it has hooks, draws random numbers, or changes attributes or buffers.
        Exception: any error of the network, and one of torch if it waits for the device.
    """
    if any(hooked(part) for part in inner_parts(network)):
        raise NotReplayableError("its layers have hooks")
    numbers, contents = _generators(x.device), _contents(network)
    with torch.enable_grad(), _no_waiting():
        question(x.detach().requires_grad_(True))
    if not all(map(_same, numbers, _generators(x.device))):
        raise NotReplayableError("it draws random numbers")
    after = _contents(network)
    names = [name for name in contents.keys() | after.keys() if not _is_as_before(name, contents, after)]
    if names:
        raise NotReplayableError(f"a pass changes `{min(names)}`")


def inner_parts(network: nn.Module) -> tuple[nn.Module, ...]:
    """Return the parts of a network without itself: hooks on itself run around its `forward`."""
    return tuple(network.modules())[1:]


def fixed_state(network: nn.Module) -> tuple[Any, ...]:
    """Return values that differ if weights, modes or the code of layers have changed since."""
    parts = tuple(network.modules())
    tensors = [t for p in parts for t in (*p._parameters.values(), *p._buffers.values()) if t is not None]
    places = [(id(t), t.data_ptr(), t._version) for t in tensors if t.layout is torch.strided]
    return (*places, *((id(p), p.training, id(p.__dict__.get("forward"))) for p in parts))


def _generators(device: torch.device) -> list[Any]:
    """Return the states of the global generators."""
    # Networks and libraries draw from exactly these states.
    states = [random.getstate(), cast("tuple[Any, ...]", np.random.get_state())[1]]  # noqa: NPY002
    states.append(torch.get_rng_state())
    return [*states, torch.cuda.get_rng_state(device)] if device.type == "cuda" else states


def _same(before: Any, after: Any) -> bool:
    if isinstance(before, Tensor):
        return torch.equal(before, after)
    return bool(np.array_equal(before, after)) if isinstance(before, np.ndarray) else bool(before == after)


def _contents(network: nn.Module) -> dict[str, tuple[Any, int]]:
    """Return the attributes, weights and buffers of all parts by name, with the versions of tensors."""
    values = {
        f"{name}.{key}".removeprefix("."): value
        for name, part in network.named_modules()
        for key, value in (*part.__dict__.items(), *part._parameters.items(), *part._buffers.items())
    }
    return {
        name: (value, value._version if isinstance(value, Tensor) else 0) for name, value in values.items()
    }


def _is_as_before(name: str, before: dict[str, tuple[Any, int]], after: dict[str, tuple[Any, int]]) -> bool:
    (one, version), (two, new) = before.get(name, (None, -1)), after.get(name, (None, -1))
    return one is two and version == new


@contextmanager
def _no_waiting() -> Iterator[None]:
    """Let torch raise inside the block where the processor would wait for the device."""
    before = torch.cuda.get_sync_debug_mode()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch calls this mode a prototype
        torch.cuda.set_sync_debug_mode("error")
        try:
            yield
        finally:
            torch.cuda.set_sync_debug_mode(before)
