"""The parts of an object of Python's library, NumPy or PyTorch, described the same way in every process.

These are the parts that `pickle` would store. Locks, counters, caches, devices and addresses are left out:
they differ between processes, and change no output.
"""

from __future__ import annotations

import copyreg
import functools
import inspect
import random
from array import array
from types import (
    BuiltinFunctionType,
    DynamicClassAttribute,
    FunctionType,
    GetSetDescriptorType,
    MemberDescriptorType,
)
from typing import Any, cast

import numpy as np
import torch
from torch.distributions.utils import lazy_property

from robench.model.module_search import is_of_library

_OURS = ("robench.", "model_zoo.", "defenses.", "attacks.")
_OPAQUE = {
    *("_contextvars", "_io", "_thread", "asyncio", "concurrent", "contextvars", "ctypes", "io", "itertools"),
    *("logging", "multiprocessing", "queue", "selectors", "socket", "subprocess", "tempfile", "threading"),
    *("traceback", "unittest", "weakref"),
}
"""Modules of Python's library whose objects belong to the process that made them."""
_PROCESS_PARTS_OF_TORCH = (
    *("torch._", "torch.autograd", "torch.compiler", "torch.cuda", "torch.distributed.", "torch.export"),
    *("torch.futures", "torch.fx", "torch.jit", "torch.mps", "torch.multiprocessing", "torch.onnx"),
    *("torch.package", "torch.profiler", "torch.utils.hooks", "torch.utils.tensorboard", "torch.xpu"),
)
_DESCRIPTIONS = (GetSetDescriptorType, MemberDescriptorType, DynamicClassAttribute, torch.device)
"""Attribute descriptors, and devices: identified by type."""
_FUNCTIONS = (functools._lru_cache_wrapper, staticmethod, classmethod)
_LARGEST_SEED = 2**64
"""Seeds from the operating system have 128 bits, seeds of users at most 64."""
_NO_STATE = frozenset({"__doc__", "__module__"})


def object_parts(value: Any) -> tuple[Any, ...]:
    """Return the parts of an object; none if only its type can be described."""
    kind = type(value)
    if isinstance(value, bytearray | memoryview | array):
        view = memoryview(value)
        return (view.format, view.shape, view.tobytes())
    if isinstance(value, torch.Generator):
        return () if _is_of_process(value) else (value.get_state(),)
    if isinstance(value, np.random.Generator | np.random.BitGenerator):
        return _numpy_generator_parts(value)
    if isinstance(value, np.random.RandomState | random.Random):
        return ()  # unknown whether it was seeded; if not, the network would differ in each process
    if isinstance(value, torch.optim.Optimizer):
        return (value.state_dict(),)
    if isinstance(value, np.vectorize):  # without its cache
        return (value.pyfunc, value.otypes, value.signature, value.excluded)
    if isinstance(value, _FUNCTIONS):
        return (cast("Any", value).__wrapped__,)
    if _is_opaque(value, kind):
        return ()
    return _reduced_parts(value, kind)


def _numpy_generator_parts(value: np.random.Generator | np.random.BitGenerator) -> tuple[Any, ...]:
    """Return kind and state of a seeded generator; only the kind if the operating system seeded it."""
    source = value.bit_generator if isinstance(value, np.random.Generator) else value
    entropy = getattr(source.seed_seq, "entropy", None)
    is_from_machine = isinstance(entropy, int) and entropy >= _LARGEST_SEED
    return (type(source).__name__, None if is_from_machine else source.state)


def _is_opaque(value: Any, kind: type) -> bool:
    module = kind.__module__
    if module.partition(".")[0] in _OPAQUE or module.startswith((*_OURS, *_PROCESS_PARTS_OF_TORCH)):
        return True
    if isinstance(value, _DESCRIPTIONS) or hasattr(kind, "__next__") or kind.__name__ == "_tuplegetter":
        return True
    is_maker = isinstance(value, BuiltinFunctionType) and value.__name__ == "__new__"
    return is_maker or _is_of_process(value)


def _is_of_process(value: Any) -> bool:
    """Tell whether this is one of the global generators of the process."""
    common = (cast("Any", random.random).__self__, cast("Any", np.random.rand).__self__)
    generators = (torch.default_generator, *torch.cuda.default_generators)
    return any(value is one for one in (*common, *generators))


def _reduced_parts(value: Any, kind: type) -> tuple[Any, ...]:
    reduce = copyreg.dispatch_table.get(kind)
    try:
        how = reduce(value) if reduce is not None else value.__reduce_ex__(2)
        if isinstance(how, str):  # the name of a global
            return (f"{getattr(value, '__module__', None)}:{how}",)
        make, arguments, *rest = how
        state, entries, items = (*rest[:3], None, None, None)[:3]
        entries = None if entries is None else list(entries)
        items = None if items is None else dict(items)
    except Exception:  # noqa: BLE001 - an object that cannot be pickled is identified by its type
        return ()
    if isinstance(state, dict):
        state = _lasting(kind, state)
    elif isinstance(state, tuple):
        state = tuple(_lasting(kind, part) if isinstance(part, dict) else part for part in state)
    if arguments in ((kind,), (kind, object, None)) and not state and not entries and not items:
        return ()
    return (_maker(make), arguments, state, entries, items)


def _lasting(kind: type, state: dict[Any, Any]) -> dict[Any, Any]:
    """Return the state without cached values, which are computed from the rest on first use."""
    kinds = (functools.cached_property, lazy_property)
    return {
        key: value
        for key, value in state.items()
        if key not in _NO_STATE and not isinstance(inspect.getattr_static(kind, str(key), None), kinds)
    }


def _maker(make: Any) -> Any:
    """Return the name of a library's function, whose code contains caches; any other function unchanged."""
    if isinstance(make, FunctionType | BuiltinFunctionType) and (
        is_of_library(make.__module__) or str(make.__module__).partition(".")[0] == "torch"
    ):
        return f"{make.__module__}:{make.__qualname__}"
    return make
