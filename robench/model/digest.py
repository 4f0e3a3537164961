"""A SHA-256 over objects that may contain each other, and functions to add objects without parts."""

from __future__ import annotations

import hashlib
import io
import pickle
import re
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from types import CodeType
from typing import Any

import torch
from torch import Tensor

_MANGLED = re.compile(rb"___torch_mangle_\d+\.?")
SIMPLE = (str, int, float, bool, bytes, type(None), torch.dtype, torch.Size)
"""Types whose `repr` is a complete description."""

_DEEPEST, _MOST_OBJECTS = 50, 100_000
"""Largest nesting depth, and largest number, of library objects that are examined part by part."""


class Digest:
    """A SHA-256 that remembers objects it has met, because they may contain each other."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self._met: dict[int, tuple[int, Any]] = {}
        self._depth, self._left, self.is_in_library = 0, _MOST_OBJECTS, False
        self.update, self.digest = self._hash.update, self._hash.digest

    def met(self, value: object) -> bool:
        """Tell whether an object was met before; if so, add its number."""
        if id(value) in self._met:
            self.update(f"again {self._met[id(value)][0]}".encode())
            return True
        self._met[id(value)] = (len(self._met), value)  # keeps it alive, so that its id stays unique
        return False

    def beside(self) -> Digest:
        """Return an empty digest that has met the same objects."""
        other = Digest()
        other._met = dict(self._met)
        other._depth, other._left, other.is_in_library = self._depth, self._left, self.is_in_library
        return other

    @contextmanager
    def in_library(self, *, is_library: bool) -> Iterator[None]:
        """Inside the block library objects are identified by type only, as libraries are by version."""
        before, self.is_in_library = self.is_in_library, self.is_in_library or is_library
        yield
        self.is_in_library = before

    @contextmanager
    def inside(self) -> Iterator[bool]:
        """Tell whether to examine an object's parts; limited, as some objects create parts without end."""
        self._depth, self._left = self._depth + 1, self._left - 1
        yield not self.is_in_library and self._depth <= _DEEPEST and self._left >= 0
        self._depth -= 1


def add_instructions(digest: Digest, code: CodeType) -> None:
    """Add the instructions of compiled code, including those of inner functions."""
    digest.update(code.co_code + repr((code.co_names, code.co_varnames)).encode())
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            add_instructions(digest, constant)
        else:
            digest.update(plain_text(constant).encode())


def plain_text(value: Any) -> str:
    """Return a text of plain values; entries of a set are sorted, as their order varies between processes."""
    if isinstance(value, set | frozenset):
        return f"{{{', '.join(sorted(map(plain_text, value)))}}}"
    if isinstance(value, tuple):
        return f"({', '.join(map(plain_text, value))})"
    return repr(value) if isinstance(value, (*SIMPLE, complex)) else type(value).__qualname__


def is_plain(value: Any) -> bool:
    """Tell whether `plain_text` describes a value completely."""
    if isinstance(value, frozenset | tuple):
        return all(map(is_plain, value))
    return isinstance(value, (*SIMPLE, complex))


def add_tensor(digest: Digest, value: Tensor) -> None:
    """Add the numbers of a tensor, on any device and in any layout; nothing if it has none."""
    if value.is_quantized:
        value = value.dequantize()
    if value.layout is not torch.strided:
        value = value.to_dense()
    if value.device.type == "meta":
        return
    digest.update(value.cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())


def add_program(digest: Digest, name: str, part: torch.jit.ScriptModule) -> None:
    """Add a TorchScript program as it would be saved, without the times in its archive."""
    with zipfile.ZipFile(io.BytesIO(part.save_to_buffer())) as archive:
        entries = {entry.partition("/")[2]: archive.read(entry) for entry in archive.namelist()}
    # Classes compiled twice in one process are numbered: the same program must have the same digest.
    programs = {
        _MANGLED.sub(b"", inner.encode()): _MANGLED.sub(b"", data)
        for inner, data in entries.items()
        if "debug_pkl" not in inner and not inner.startswith(".data/")
    }
    for inner in sorted(programs):
        digest.update(name.encode() + b":" + inner + b":" + programs[inner])


def pickled(value: Any) -> bytes:
    """Return the pickle of an object, empty bytes if it cannot be pickled."""
    try:
        return pickle.dumps(value)
    except Exception:  # noqa: BLE001 - an object that cannot be pickled is identified by its type only
        return b""
