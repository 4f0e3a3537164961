"""Finds modules that are not registered in PyTorch: in lists, objects, partials, closures and defaults."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from itertools import islice
from types import CodeType, FunctionType, MethodType, SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn

_MOST_VALUES, _MOST_ENTRIES = 10_000, 1_000
"""Most values to examine in all, and most entries of one container."""
_PLAIN = (str, int, float, bool, bytes, complex, type(None), type, Tensor, torch.dtype, torch.device)
_FOREIGN = ("torch.", "robench.", "model_zoo.", "defenses.", "attacks.")
_OWN_OF_MODULES = frozenset({*nn.Module().__dict__, "_is_full_backward_hook"})


def modules_within(value: object) -> Iterator[nn.Module]:
    """Yield the modules that a value contains or uses, each once, without their own submodules."""
    waiting, kept_values = deque([value]), {id(value): value}
    for _ in range(_MOST_VALUES):
        if not waiting:
            return
        one = waiting.popleft()
        if isinstance(one, nn.Module):
            yield one
            continue
        for part in _parts(one):
            if not _is_plain(part) and id(part) not in kept_values:
                kept_values[id(part)] = part
                waiting.append(part)


def all_modules(net: nn.Module) -> dict[str, nn.Module]:
    """Return a network's modules by name, also those kept in plain lists and objects, each once."""
    parts = dict(net.named_modules())
    ids = {id(part) for part in parts.values()}
    waiting = deque(parts.items())
    while waiting:
        name, part = waiting.popleft()
        for i, top in enumerate(_beside(part)):
            for inner, module in top.named_modules():
                if id(module) not in ids:
                    ids.add(id(module))
                    place = f"{name}<{i}>{'.' if inner else ''}{inner}"
                    parts[place] = module
                    waiting.append((place, module))
    return parts


def _beside(part: nn.Module) -> Iterator[nn.Module]:
    """Yield the modules among a module's attributes that are not registered."""
    if isinstance(part, torch.jit.ScriptModule):
        return
    before = getattr(type(part), "searched_before", ())
    values = [
        value
        for key, value in part.__dict__.items()
        if key not in _OWN_OF_MODULES and key not in before and not _is_plain(value)
    ]
    if values:
        yield from modules_within(values)


def _is_plain(value: object) -> bool:
    return type(value) in _PLAIN or isinstance(value, _PLAIN)  # the first answers most, and fast


def _parts(value: Any) -> Iterable[Any]:
    if isinstance(value, Mapping):
        return list(islice(value.values(), _MOST_ENTRIES))
    if isinstance(value, list | tuple | set | frozenset | deque):
        return list(islice(value, _MOST_ENTRIES))
    if isinstance(value, partial):
        return (value.func, *value.args, *value.keywords.values())
    if isinstance(value, MethodType):
        return (value.__self__, value.__func__)
    if isinstance(value, FunctionType):
        return _function_parts(value)
    if isinstance(value, SimpleNamespace) or _is_users(type(value).__module__):
        return _object_parts(value)
    return (value.__wrapped__,) if "__wrapped__" in getattr(value, "__dict__", ()) else ()


def _function_parts(function: FunctionType) -> list[Any]:
    values = [*closure_values(function), *(function.__defaults__ or ()), *vars(function).values()]
    values += (function.__kwdefaults__ or {}).values()
    if _is_users(str(function.__globals__.get("__name__"))):
        code = function.__code__
        names = dict.fromkeys((*code.co_names, *sorted(names_in(code))))
        values += [function.__globals__[name] for name in names if name in function.__globals__]
    return values


def closure_values(function: FunctionType) -> list[Any]:
    """Return the values of a function's closure, without None and empty cells."""
    return [cell.cell_contents for cell in function.__closure__ or () if _has_value(cell)]


def _has_value(cell: Any) -> bool:
    try:
        return cell.cell_contents is not None
    except ValueError:  # the cell is empty
        return False


def names_in(code: CodeType) -> set[str]:
    """Return the names of globals and attributes in a piece of code and in the functions inside it."""
    inner = [constant for constant in code.co_consts if isinstance(constant, CodeType)]
    return set(code.co_names).union(*map(names_in, inner))


def _object_parts(value: Any) -> list[Any]:
    call: Callable[..., Any] | None = getattr(type(value), "__call__", None)  # noqa: B004 - its code is looked at
    values = [*getattr(value, "__dict__", {}).values()]
    for base in type(value).__mro__:
        slots = vars(base).get("__slots__", ())
        for slot in (slots,) if isinstance(slots, str) else tuple(slots):
            hides = slot.startswith("__") and not slot.endswith("__")
            values.append(getattr(value, f"_{base.__name__.lstrip('_')}{slot}" if hides else slot, None))
    return [*values, call] if isinstance(call, FunctionType) else values


def is_of_library(module: object) -> bool:
    """Tell whether a module's name is one of Python's library, or of numpy."""
    package = str(module).partition(".")[0]
    return package in sys.stdlib_module_names or package == "numpy"


def _is_users(module: str) -> bool:
    return module == "__main__" or not (is_of_library(module) or f"{module}.".startswith(_FOREIGN))
