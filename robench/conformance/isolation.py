"""What a plugin must not use while it works: global generators, the network, the test split."""

from __future__ import annotations

import random
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

import numpy as np
import torch

from robench.data.images import ImageSet
from robench.randomness import borrowed_global_randomness


@contextmanager
def lent_generators(seed: int) -> Iterator[list[str]]:
    """Seed the global generators inside the block, then restore them; yield the names of those that changed.

    The list is filled when the block ends. So a plugin that uses a global generator appears in this list, and
    does not disturb other laws.
    """
    generators: list[str] = []
    with borrowed_global_randomness(seed):
        before = (torch.get_rng_state(), _numpy_state(), random.getstate())
        yield generators
        after = (torch.get_rng_state(), _numpy_state(), random.getstate())
        same = (torch.equal(before[0], after[0]), before[1] == after[1], before[2] == after[2])
    names = ("torch", "NumPy", "Python")
    generators.extend(name for name, still in zip(names, same, strict=True) if not still)


def _numpy_state() -> tuple[Any, ...]:
    name, keys, *rest = np.random.get_state()  # noqa: NPY002 - this is the state that must not change
    return (name, np.asarray(keys).tobytes(), *rest)


@contextmanager
def without_network() -> Iterator[list[str]]:
    """Refuse connections to other machines inside the block; yield the requested addresses."""
    addresses: list[str] = []
    connect = socket.socket.connect

    def refused(self: socket.socket, address: Any) -> None:
        if self.family == getattr(socket, "AF_UNIX", None):
            connect(self, address)
            return
        addresses.append(str(address))
        raise OSError(f"the network is closed during this check; asked for {address}")

    def unresolved(host: Any, *args: Any, **options: Any) -> None:
        del args, options
        addresses.append(str(host))
        raise OSError(f"the network is closed during this check; asked for {host}")

    with ExitStack() as stack:
        for owner, name, replacement in (
            (socket.socket, "connect", refused),
            (socket.socket, "connect_ex", refused),
            (socket, "getaddrinfo", unresolved),
        ):
            stack.enter_context(patch.object(owner, name, replacement))
        yield addresses


@contextmanager
def watched_splits() -> Iterator[set[str]]:
    """Yield the splits of all image sets that any code makes inside the block."""
    splits: set[str] = set()
    make = ImageSet.__init__

    def noted(self: ImageSet, *args: Any, **fields: Any) -> None:
        make(self, *args, **fields)
        splits.add(self.split)

    with patch.object(ImageSet, "__init__", noted):
        yield splits
