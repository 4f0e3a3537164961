"""A SHA-256 over objects that may hold each other, and how what has no parts of its own is added to it."""

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
"""Types whose `repr` says all there is."""

_DEEPEST, _MOST_OBJECTS = 50, 100_000
"""How deep in each other, and how many in all, objects of libraries are taken apart."""


class Digest:
    """A SHA-256 that knows which objects it has met, for they may hold each other."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self._met: dict[int, tuple[int, Any]] = {}
        self._depth, self._left, self.is_in_library = 0, _MOST_OBJECTS, False
        self.update, self.digest = self._hash.update, self._hash.digest

    def met(self, value: object) -> bool:
        """Tell whether an object was met before, and add which one it is."""
        if id(value) in self._met:
            self.update(f"again {self._met[id(value)][0]}".encode())
            return True
        self._met[id(value)] = (len(self._met), value)  # held, so that its id stays its own
        return False

    def beside(self) -> Digest:
        """Return an empty digest that has met the same objects."""
        other = Digest()
        other._met = dict(self._met)
        other._depth, other._left, other.is_in_library = self._depth, self._left, self.is_in_library
        return other

    @contextmanager
    def in_library(self, *, is_library: bool) -> Iterator[None]:
        """Inside the block objects of libraries are known by their types, as those are by their version."""
        before, self.is_in_library = self.is_in_library, self.is_in_library or is_library
        yield
        self.is_in_library = before

    @contextmanager
    def inside(self) -> Iterator[bool]:
        """Tell whether an object is taken apart: what it consists of may be made anew without end."""
        self._depth, self._left = self._depth + 1, self._left - 1
        yield not self.is_in_library and self._depth <= _DEEPEST and self._left >= 0
        self._depth -= 1


def add_instructions(digest: Digest, code: CodeType) -> None:
    """Add what compiled code does, that of functions inside it included."""
    digest.update(code.co_code + repr((code.co_names, code.co_varnames)).encode())
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            add_instructions(digest, constant)
        else:
            digest.update(plain_text(constant).encode())


def plain_text(value: Any) -> str:
    """Return a text of plain values; those of a set have no order, and another one in each process."""
    if isinstance(value, set | frozenset):
        return f"{{{', '.join(sorted(map(plain_text, value)))}}}"
    if isinstance(value, tuple):
        return f"({', '.join(map(plain_text, value))})"
    return repr(value) if isinstance(value, (*SIMPLE, complex)) else type(value).__qualname__


def is_plain(value: Any) -> bool:
    """Tell whether the text of a value (`plain_text`) says all there is."""
    if isinstance(value, frozenset | tuple):
        return all(map(is_plain, value))
    return isinstance(value, (*SIMPLE, complex))


def add_tensor(digest: Digest, value: Tensor) -> None:
    """Add the numbers of a tensor, wherever and in whatever layout they lie; none where it has none."""
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
    """Return an object as pickle writes it, nothing where it cannot."""
    try:
        return pickle.dumps(value)
    except Exception:  # noqa: BLE001 - an object that cannot be written out is known by its type only
        return b""
