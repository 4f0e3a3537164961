"""The identity of a network: a hash of every number in it, wherever it is stored.

This includes lists, objects, private attributes, closures and hooks. Two networks with the same hash would
share crafted images, and the second would be attacked with the images of the first.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from enum import Enum
from functools import partial
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from robench.model.digest import (
    SIMPLE,
    Digest,
    add_instructions,
    add_program,
    add_tensor,
    is_plain,
    pickled,
    plain_text,
)
from robench.model.module_search import closure_values, is_of_library, names_in
from robench.model.object_parts import object_parts

_KNOWN = ("torch.", "torchvision.", "robench.", "model_zoo.", "defenses.", "attacks.")
"""Packages whose code is identified by their version."""
_OWN_OF_MODULES = frozenset({*nn.Module().__dict__, "_is_full_backward_hook", "training"})
"""Attributes of every PyTorch module."""
_HOOKS = ("_forward_pre_hooks", "_forward_hooks", "_backward_pre_hooks", "_backward_hooks")


def network_digest(net: nn.Module) -> bytes:
    """Return the SHA-256 over a network's state and the plain values and tensors among its attributes.

    The state is the whole `state_dict`, also entries that are not tensors (packed weights of a quantised
    layer). For a TorchScript module it is the whole program, because a frozen one has no state. Code that is
    not a library's counts too: two networks may have the same weights and another `forward`. Attributes count
    because a scale or a mean may change the outputs without being a parameter.
    """
    digest = Digest()
    _add_network(digest, net)
    return digest.digest()


def _add_network(digest: Digest, net: nn.Module) -> None:
    for part in net.modules():
        digest.met(part)
    for name, value in sorted(net.state_dict().items()):
        _add(digest, name, value)
    for name, part in net.named_modules():
        digest.update(f"{name}:{type(part).__qualname__}".encode())
        mine = not type(part).__module__.startswith(_KNOWN)
        if mine:
            _add_class(digest, name, type(part))
        if isinstance(part, torch.jit.ScriptModule):
            if not any(name.startswith(f"{outer}.") for outer in _scripts(net)):
                add_program(digest, name, part)
            continue
        if isinstance(part, torch.fx.GraphModule):
            digest.update(part.code.encode())
            continue
        for key in sorted(part._non_persistent_buffers_set):
            _add(digest, f"{name}.{key}", part._buffers.get(key))
        for hooks in _HOOKS:
            for hook in getattr(part, hooks).values():  # the keys are numbers that depend on the process
                _add(digest, f"{name}.{hooks}", hook)
        for key, value in sorted(vars(part).items()):
            if key not in _OWN_OF_MODULES and (mine or not key.startswith("_")):
                _add(digest, f"{name}.{key}", value)


def _add_class(digest: Digest, name: str, kind: type) -> None:
    """Add the code of a class and its bases, up to the first that is PyTorch's or ours."""
    for base in kind.__mro__:
        if base.__module__.startswith(_KNOWN) or base is object:
            continue
        with digest.in_library(is_library=is_of_library(base.__module__)):
            _add_members(digest, name, base)


def _add_members(digest: Digest, name: str, base: type) -> None:
    for key, value in sorted(vars(base).items()):
        method = value.__func__ if isinstance(value, classmethod | staticmethod) else value
        method = method.fget if isinstance(method, property) else method
        if isinstance(method, FunctionType) or not key.startswith(("__", "_abc_")):
            _add(digest, f"{name}:{base.__qualname__}.{key}", method)


def _add_code(digest: Digest, name: str, function: FunctionType) -> None:
    """Add the code and the closure of a function; a library's function is added by name."""
    digest.update(f"{name}:{function.__qualname__}".encode())
    if str(function.__module__).startswith(_KNOWN) or digest.met(function):
        return
    add_instructions(digest, function.__code__)
    values = closure_values(function)
    defaults = (function.__defaults__, function.__kwdefaults__)
    is_library = is_of_library(function.__globals__.get("__name__"))
    for i, value in enumerate((*values, *(default for default in defaults if default))):
        with digest.in_library(is_library=is_library and isinstance(value, BuiltinFunctionType)):
            _add(digest, f"{name}[{i}]", value)
    with digest.in_library(is_library=is_library):
        for key in sorted(names_in(function.__code__) & function.__globals__.keys()):
            value = function.__globals__[key]
            if not isinstance(value, ModuleType):
                _add(digest, f"{name}:{key}", value)


def _scripts(net: nn.Module) -> list[str]:
    return [name for name, part in net.named_modules() if isinstance(part, torch.jit.ScriptModule)]


def _add(digest: Digest, name: str, value: Any) -> None:
    """Add any value, by a description that is the same in every process."""
    if isinstance(value, Tensor):
        digest.update(f"{name}:{value.dtype}:{tuple(value.shape)}".encode())
        add_tensor(digest, value.detach())
    elif isinstance(value, (Enum, *SIMPLE)):
        digest.update(f"{name}={value!r}".encode())
    elif isinstance(value, np.ndarray | np.generic) and value.dtype != object:
        digest.update(f"{name}:{value.dtype}:{value.shape}".encode() + value.tobytes())
    elif isinstance(value, torch.ScriptObject):
        digest.update(f"{name}:{type(value).__qualname__}".encode() + pickled(value))
    elif isinstance(value, FunctionType):
        _add_code(digest, name, value)
    else:
        digest.update(f"{name}:{type(value).__qualname__}".encode())
        # Tuples cannot contain themselves, and Python does not define which equal tuples are one object.
        if isinstance(value, tuple) or not digest.met(value):
            _add_parts(digest, name, value)


def _add_parts(digest: Digest, name: str, value: Any) -> None:
    """Add the parts of a value: entries, arguments, attributes."""
    if isinstance(value, Mapping):
        for key in sorted(value, key=str):
            _add(digest, f"{name}[{key}]", value[key])
    elif isinstance(value, list | tuple | deque | np.ndarray):
        for i, entry in enumerate(value):
            _add(digest, f"{name}[{i}]", entry)
    elif isinstance(value, set | frozenset):
        digest.update(plain_text(value).encode())
        _add_unordered(digest, name, [entry for entry in value if not is_plain(entry)])
    elif isinstance(value, partial):
        _add(digest, f"{name}()", (value.func, value.args, value.keywords))
    elif isinstance(value, MethodType):
        _add(digest, f"{name}()", (value.__func__, value.__self__))
    elif isinstance(value, nn.Module):
        _add_network(digest, value)
    elif isinstance(value, type):
        if not _walked(value):
            digest.update(f"{value.__module__}:{value.__qualname__}".encode())
        else:  # its code identifies it better than its module's name, which depends on the file's path
            digest.update(value.__qualname__.encode())
            _add_class(digest, name, value)
    elif not isinstance(value, ModuleType):
        _add_object(digest, name, value)


def _add_unordered(digest: Digest, name: str, entries: list[Any]) -> None:
    """Add entries of a set that have no text: each is hashed alone, because a set has no order."""
    single = []
    for entry in () if digest.is_in_library else entries:
        other = digest.beside()
        _add(other, name, entry)
        single.append(other.digest())
    digest.update(b"".join(sorted(single)))


def _add_library_object(digest: Digest, name: str, value: Any) -> None:
    with digest.inside() as is_followed:
        for i, part in enumerate(object_parts(value) if is_followed else ()):
            _add(digest, f"{name}<{i}>", part)


def _add_object(digest: Digest, name: str, value: Any) -> None:
    kind = type(value)
    if not _walked(kind) and not isinstance(value, SimpleNamespace):
        _add_library_object(digest, name, value)
        return
    if _walked(kind) and not kind.__module__.startswith(_KNOWN):
        _add_class(digest, name, kind)
    slots = {slot for base in kind.__mro__ for slot in _slots(base) if hasattr(value, slot)}
    entries = {**getattr(value, "__dict__", {}), **{slot: getattr(value, slot) for slot in slots}}
    for key in sorted(entries):
        _add(digest, f"{name}.{key}", entries[key])
    if kind.__module__.startswith("PIL.") and hasattr(value, "tobytes"):
        digest.update(f"{value.mode}:{value.size}".encode() + value.tobytes())
    elif not entries:  # not written in Python
        _add_library_object(digest, name, value)


def _walked(kind: type) -> bool:
    """Tell whether attributes of objects of a class may change an output.

    Objects of Python's own library and of PyTorch contain locks, counters and addresses: see `object_parts`.
    """
    packages = tuple(package for package in _KNOWN if package != "torchvision.")
    return not is_of_library(kind.__module__) and not kind.__module__.startswith((*packages, "numpy"))


def _slots(kind: type) -> tuple[str, ...]:
    slots = vars(kind).get("__slots__", ())
    private = f"_{kind.__name__.lstrip('_')}"  # as Python names them
    names = (slots,) if isinstance(slots, str) else tuple(slots)
    return tuple(f"{private}{s}" if s.startswith("__") else s for s in names if not s.endswith("__"))
