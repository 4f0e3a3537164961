"""Saves and restores the contents of lists, dicts, sets, deques and arrays of a user's modules."""

from __future__ import annotations

from collections import Counter, OrderedDict, defaultdict, deque
from typing import Any

import numpy as np
from torch import Tensor, nn

_MOST_VALUES, _MOST_BYTES = 10_000, 2**28
"""Most values of a network that are saved, and most bytes of arrays and tensors."""
_MAPPINGS = (dict, OrderedDict, defaultdict, Counter)
_KNOWN = ("torch.", "torchvision.", "robench.", "model_zoo.", "defenses.", "attacks.")
_OWN_OF_MODULES = frozenset({*nn.Module().__dict__, "_is_full_backward_hook"})


class PlainState:
    """Saved contents of containers and arrays in attributes of modules; see `restore`.

    Attributes:
        tensors: the tensors inside the containers, to be saved by the caller.
    """

    def __init__(self) -> None:
        self.tensors: list[Tensor] = []
        self._copies: dict[int, tuple[Any, Any]] = {}
        self._values, self._bytes = _MOST_VALUES, _MOST_BYTES

    def add(self, part: nn.Module) -> None:
        """Save the contents of a module's attributes; PyTorch's layers and ours have none."""
        if type(part).__module__.startswith(_KNOWN):
            return
        for key, value in part.__dict__.items():
            if key not in _OWN_OF_MODULES and not isinstance(value, Tensor):
                self._add(value)

    def restore(self) -> None:
        """Restore the entries of each container, the same objects, and the numbers of each array."""
        for value, entries in self._copies.values():
            if isinstance(value, np.ndarray):
                if value.shape == entries.shape and value.tobytes() != entries.tobytes():
                    np.copyto(value, entries)
            elif isinstance(value, list | bytearray):
                if not _identical(value, entries):
                    value[:] = entries
            elif isinstance(value, deque):
                if not _identical(value, entries):
                    value.clear()
                    value.extend(entries)
            elif isinstance(value, set):
                if value != entries:
                    value.clear()
                    value.update(entries)
            elif not (_identical(value, entries) and _identical(value.values(), entries.values())):
                value.clear()
                value.update(entries)

    def _add(self, first: Any) -> None:
        waiting = [first]
        while waiting:
            value = waiting.pop()
            kind = type(value)
            if id(value) in self._copies:
                continue
            if isinstance(value, Tensor):
                if self._fits(0, value.numel() * value.element_size()):
                    self.tensors.append(value)
            elif kind is np.ndarray:
                if value.dtype != object and value.flags.writeable and self._fits(1, value.nbytes):
                    self._copies[id(value)] = (value, value.copy())
            elif kind in (list, deque, set, bytearray, *_MAPPINGS):
                if self._fits(1 + len(value), 0):
                    self._copies[id(value)] = (value, dict(value) if kind in _MAPPINGS else value.copy())
                    waiting.extend(value.values() if kind in _MAPPINGS else value)
            elif isinstance(value, tuple) and self._fits(1 + len(value), 0):
                waiting.extend(value)

    def _fits(self, values: int, size: int) -> bool:
        if values > self._values or size > self._bytes:
            return False
        self._values, self._bytes = self._values - values, self._bytes - size
        return True


def _identical(now: Any, before: Any) -> bool:
    return len(now) == len(before) and all(a is b for a, b in zip(now, before, strict=True))
