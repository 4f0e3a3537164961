"""Reading weights out of bytes nobody vouches for. Code in them is never run."""

from __future__ import annotations

import io
import pickle
import pickletools
import re
import struct
import warnings
import zipfile
from collections.abc import Mapping
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from model_zoo.key_layouts import WRAPPERS
from robench.errors import CheckpointError

# What torch's restricted unpickler and zip reader raise on damaged bytes, found by cutting and flipping.
_BROKEN = (
    pickle.UnpicklingError,
    zipfile.BadZipFile,
    RuntimeError,
    EOFError,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    AssertionError,
    ImportError,
    ArithmeticError,
    MemoryError,
    OSError,
    struct.error,
)
_HARMLESS = re.compile(
    r"collections\.OrderedDict|torch\._utils\._rebuild_\w+|torch\.(\w+Storage|device|Size|[a-z]*(float|int|half)\w*)"
)
"""What weights themselves are made of, so that a merely damaged file is not called hostile."""


def read_safetensors(data: bytes, *, where: str) -> dict[str, Tensor]:
    """Return the tensors of a safetensors file.

    Raises:
        CheckpointError: not a whole safetensors file.
    """
    try:
        tensors: dict[str, Tensor] = safetensors.torch.load(data)
    except (safetensors.SafetensorError, *_BROKEN) as error:
        raise _corrupt(where, "a whole safetensors file", error) from error
    return tensors


def read_state_dict(data: bytes, *, where: str) -> dict[str, Tensor]:
    """Return the tensors of a plain PyTorch state_dict.

    Accepts the mapping itself or one wrapped as `{"state_dict": ...}` or under another of
    `key_layouts.WRAPPERS`. Loads with `weights_only=True`, and there is no other way in.

    Raises:
        CheckpointError: code inside (the offending globals are named), damaged, or not a mapping to tensors.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about the file's age and protocol; the result is checked below
            loaded = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except _BROKEN as error:
        names = _unsafe_globals(data)
        if names:
            raise CheckpointError(
                where=where,
                expected="weights only",
                got=f"a pickle that asks for {', '.join(names)}",
                do="Do not open it elsewhere if you do not trust its author; ask for a safetensors file",
            ) from error
        raise _corrupt(where, "a whole PyTorch state_dict", error) from error
    return _tensors(loaded, where=where)


def _tensors(loaded: Any, *, where: str) -> dict[str, Tensor]:
    if isinstance(loaded, Mapping):
        loaded = next((loaded[key] for key in WRAPPERS if isinstance(loaded.get(key), Mapping)), loaded)
    if not isinstance(loaded, Mapping) or not loaded:
        got = "an empty mapping" if isinstance(loaded, Mapping) else type(loaded).__name__
        raise CheckpointError(where=where, expected="a state_dict of tensors", got=got)
    strange = [str(key) for key, value in loaded.items() if not isinstance(value, Tensor)]
    if strange:
        got = f"other things under {listed(strange)}"
        do = "Save model.state_dict() alone, or under the key 'state_dict'"
        raise CheckpointError(where=where, expected="a state_dict of tensors", got=got, do=do)
    return {str(key): tensor for key, tensor in loaded.items()}


def listed(names: list[str], most: int = 6) -> str:
    """Return names separated by commas, and how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def _unsafe_globals(data: bytes) -> list[str]:
    try:
        found = torch.serialization.get_unsafe_globals_in_checkpoint(io.BytesIO(data))
    except _BROKEN:
        found = _pickled_globals(data)  # torch lists only those of its own archives
    return sorted({name for name in found if not _HARMLESS.fullmatch(name)})


def _pickled_globals(data: bytes) -> list[str]:
    """Read the globals of pickles in a row, as torch's old format has them, without running them."""
    names: list[str] = []
    texts: list[str] = []
    stream = io.BytesIO(data)
    try:
        while stream.tell() < len(data):
            for code, argument, _ in pickletools.genops(stream):
                if code.name == "GLOBAL":
                    names.append(str(argument).replace(" ", "."))
                elif code.name == "STACK_GLOBAL":
                    names.append(".".join(texts[-2:]))
                elif isinstance(argument, str):
                    texts.append(argument)
    except _BROKEN:
        pass  # what follows is no pickle, or it is cut off here
    return names


def _corrupt(where: str, expected: str, error: BaseException) -> CheckpointError:
    reason = (str(error).strip() or type(error).__name__).splitlines()[0]
    return CheckpointError(
        where=where,
        expected=expected,
        got=f"a damaged or foreign file ({reason})",
        do="Copy or download it again",
    )
