"""What identifies a network: every number in it, wherever it keeps it."""

from __future__ import annotations

import hashlib
import io
import pickle
import re
import zipfile
from collections.abc import Mapping
from functools import partial
from types import CodeType, FunctionType, MethodType
from typing import Any

import torch
from torch import Tensor, nn

_MANGLED = re.compile(rb"___torch_mangle_\d+\.?")
_KNOWN = ("torch.", "torchvision.", "robench.", "model_zoo.", "defenses.", "attacks.")
"""Packages whose code is known by their version."""
_SIMPLE = (str, int, float, bool, bytes, type(None), torch.dtype, torch.Size)


def network_digest(net: nn.Module) -> bytes:
    """Return the SHA-256 over a network's state and the plain values and tensors among its attributes.

    The state is the `state_dict`, whatever is in it (packed weights of a quantised layer are no tensors); of
    a TorchScript module it is the whole program, for a frozen one has no state. Code counts too, where it is
    not a library's: two networks may have the same weights and another `forward`. Attributes count because a
    scale or a mean may decide the answers without being a parameter.
    """
    digest = hashlib.sha256()
    for name, value in sorted(net.state_dict().items()):
        _add(digest, name, value)
    for name, part in net.named_modules():
        digest.update(f"{name}:{type(part).__qualname__}".encode())
        if not type(part).__module__.startswith(_KNOWN):
            _add_class(digest, name, type(part))
        if isinstance(part, torch.jit.ScriptModule):
            if not any(name.startswith(f"{outer}.") for outer in _scripts(net)):
                _add_program(digest, name, part)
            continue
        for key, value in sorted(vars(part).items()):
            if isinstance(value, FunctionType | MethodType | partial):
                _add_code(digest, f"{name}.{key}", value)
            elif not key.startswith("_") and key != "training" and _tells(value):
                _add(digest, f"{name}.{key}", value)
    return digest.digest()


def _add_class(digest: Any, name: str, kind: type) -> None:
    """Add the code of a class that is neither torch's nor ours, up to the first that is."""
    for base in kind.__mro__:
        if base.__module__.startswith(_KNOWN) or base is object:
            continue
        for key, value in sorted(vars(base).items()):
            method = value.__func__ if isinstance(value, classmethod | staticmethod) else value
            method = method.fget if isinstance(method, property) else method
            if isinstance(method, FunctionType):
                _add_code(digest, f"{name}:{base.__qualname__}.{key}", method)
            elif not key.startswith("_") and _tells(value):
                _add(digest, f"{name}:{base.__qualname__}.{key}", value)


def _add_code(digest: Any, name: str, function: Any) -> None:
    """Add what a function does and the plain values it holds on to; a function of a library by its name."""
    if isinstance(function, partial):
        _add(digest, f"{name}(", [v for v in (*function.args, *function.keywords.items()) if _tells(v)])
        function = function.func
    function = getattr(function, "__func__", function)
    code = getattr(function, "__code__", None)
    digest.update(f"{name}:{getattr(function, '__qualname__', type(function).__qualname__)}".encode())
    if code is None or str(getattr(function, "__module__", "")).startswith(_KNOWN):
        return
    _add_instructions(digest, code)
    held = [cell.cell_contents for cell in function.__closure__ or () if _filled(cell)]
    for i, value in enumerate((*held, *(function.__defaults__ or ()))):
        if isinstance(value, FunctionType) and value is not function:
            _add_code(digest, f"{name}[{i}]", value)
        elif _tells(value):
            _add(digest, f"{name}[{i}]", value)
    for key in sorted(set(code.co_names) & function.__globals__.keys()):
        if _tells(value := function.__globals__[key]):
            _add(digest, f"{name}:{key}", value)


def _add_instructions(digest: Any, code: CodeType) -> None:
    digest.update(code.co_code + repr((code.co_names, code.co_varnames)).encode())
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            _add_instructions(digest, constant)
        else:
            digest.update(repr(constant).encode())


def _filled(cell: Any) -> bool:
    try:
        return cell.cell_contents is not None
    except ValueError:
        return False


def _scripts(net: nn.Module) -> list[str]:
    return [name for name, part in net.named_modules() if isinstance(part, torch.jit.ScriptModule)]


def _tells(value: Any) -> bool:
    """Tell whether an attribute is a plain value, or a list or mapping of such."""
    if isinstance(value, Mapping):
        return all(_tells(entry) for entry in value.values())
    if isinstance(value, list | tuple):
        return all(_tells(entry) for entry in value)
    return isinstance(value, (*_SIMPLE, Tensor)) or type(value).__module__ == "numpy"


def _add(digest: Any, name: str, value: Any) -> None:
    if isinstance(value, Tensor):
        digest.update(f"{name}:{value.dtype}:{tuple(value.shape)}".encode())
        _add_tensor(digest, value.detach())
    elif isinstance(value, Mapping):
        for key in sorted(value, key=str):
            _add(digest, f"{name}[{key}]", value[key])
    elif isinstance(value, list | tuple):
        for i, entry in enumerate(value):
            _add(digest, f"{name}[{i}]", entry)
    elif isinstance(value, _SIMPLE):
        digest.update(f"{name}={value!r}".encode())
    elif type(value).__module__ == "numpy":
        digest.update(f"{name}:{value.dtype}:{value.shape}".encode() + value.tobytes())
    else:
        digest.update(f"{name}:{type(value).__qualname__}".encode() + _pickled(value))


def _add_tensor(digest: Any, value: Tensor) -> None:
    if value.is_quantized:
        value = value.dequantize()
    if value.layout is not torch.strided:
        value = value.to_dense()
    if value.device.type == "meta":
        return
    digest.update(value.cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())


def _add_program(digest: Any, name: str, part: torch.jit.ScriptModule) -> None:
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


def _pickled(value: Any) -> bytes:
    try:
        return pickle.dumps(value)
    except Exception:  # noqa: BLE001 - an object that cannot be written out is known by its type only
        return b""
