"""Shapes and types of tensors, checked in every call of the functions that name them while the tests run."""

import ast
import dataclasses
import functools
import importlib
import inspect
import pkgutil
import sys
import types
import typing
from pathlib import Path

from jaxtyping import jaxtyped
from torch import Tensor
from torch.fx import Proxy

WORDS = (
    "Images", "Labels", "Pairs", "Outputs", "PerSample", "Mask", "Features", "Column", "Float[", "Int[",
    "Bool[",
)  # fmt: skip
CONTAINERS = ("Callable[", "Sequence[", "list[", "Mapping[", "dict[", "Iterator[", "Iterable[")
"""Annotations with these are left out: their entries are not looked at."""
PACKAGES = (
    "attacks",
    "defenses",
    "model_zoo",
    "robench.api",
    "robench.attack",
    "robench.bounds",
    "robench.data",
    "robench.judge",
    "robench.model",
    "robench.run",
)


class ShapeError(AssertionError):
    """A function got or gave a tensor of another shape or type than it says."""


def check_shapes() -> int:
    """Put a check into every function that names a tensor word; return how many there are.

    A function is replaced wherever a module of ours holds it, so that those who imported it are checked too.
    """
    modules = [module for package in PACKAGES for module in _modules(package)]
    _import_types(modules)
    wrappers: dict[int, tuple[object, object]] = {}
    for module in modules:
        for holder in (module, *_classes(module)):
            for member in list(vars(holder).values()):
                if inspect.isfunction(member) and member.__module__ == module.__name__ and tensors_of(member):
                    wrappers[id(member)] = (member, checking(member))
    for holder in _holders():
        names = [f.name for f in dataclasses.fields(holder)] if _is_value(holder) else list(vars(holder))
        for name in names:
            member = getattr(holder, name) if _is_value(holder) else vars(holder)[name]
            if id(member) in wrappers and wrappers[id(member)][0] is member:
                setter = object.__setattr__ if _is_value(holder) else setattr
                setter(holder, name, wrappers[id(member)][1])
    return len(wrappers)


def tensors_of(function):
    """Return the names of a function's arguments, and `return`, whose annotations name tensors."""
    if hasattr(function, "__wrapped__"):  # such as a context manager: the function inside has the annotations
        return []
    return [
        name
        for name, hint in function.__annotations__.items()
        if any(word in str(hint) for word in WORDS) and not any(kind in str(hint) for kind in CONTAINERS)
    ]


def checking(function):
    """Return a function that raises a `ShapeError` where a tensor is not as its annotation says.

    The same letter stands for the same number in all arguments and in the result of one call. While a network
    is traced there are no tensors, and nothing is checked.
    """
    names = tensors_of(function)
    signature = inspect.signature(function)
    hints: dict[str, object] = {}

    def check(values):
        if not hints:
            types = typing.get_type_hints(function, include_extras=True)
            hints.update({name: types[name] for name in names})
        for name, hint in hints.items():
            value = values.get(name)
            if name in values and not isinstance(value, Proxy) and not fits(value, hint):
                shape = f"{value.dtype} {tuple(value.shape)}" if hasattr(value, "shape") else repr(value)
                say = function.__annotations__[name]
                raise ShapeError(
                    f"{function.__module__}.{function.__qualname__}: {name} is {shape}, not {say}"
                )

    memory: dict[object, set[object]] = {}
    """Kinds of results that were right, by the kinds of arguments: none of them is looked at twice."""

    @functools.wraps(function)
    def call(*args, **kwargs):
        key = (kind(args), *((name, kind(value)) for name, value in kwargs.items()))
        if key in memory:
            result = function(*args, **kwargs)
            if kind(result) in memory[key]:
                return result
        try:
            values = signature.bind(*args, **kwargs).arguments
        except TypeError:
            return function(*args, **kwargs)  # which says what is wrong
        with jaxtyped("context"):
            check(values)
            if key not in memory:
                result = function(*args, **kwargs)
            check({"return": result})
        memory.setdefault(key, set()).add(kind(result))
        return result

    return call


def kind(value):
    """Return all that a check may look at: kind and shape of a tensor, of a tuple all parts, or the type."""
    if isinstance(value, Tensor):
        return type(value), value.dtype, value.shape
    if isinstance(value, tuple):
        return (tuple, *map(kind, value))
    return type(value)


def fits(value, hint):
    """Tell whether a value is as a type says: a tensor type, a class, a tuple or a choice of them."""
    origin, parts = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return any(fits(value, part) for part in parts)
    if origin is tuple and parts[-1] is Ellipsis:
        return isinstance(value, tuple) and all(fits(item, parts[0]) for item in value)
    if origin is tuple:
        return isinstance(value, tuple) and len(value) == len(parts) and all(map(fits, value, parts))
    return isinstance(value, hint) if inspect.isclass(hint) else True


def _modules(package):
    root = importlib.import_module(package)
    yield root
    for entry in pkgutil.walk_packages(root.__path__, package + "."):
        try:
            yield importlib.import_module(entry.name)
        except ImportError:  # an optional library is not installed
            continue


def _classes(module):
    return [c for c in vars(module).values() if inspect.isclass(c) and c.__module__ == module.__name__]


def _holders():
    ours = ("robench", "attacks", "defenses", "model_zoo", "tests", "benchmarks")
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] in ours and module is not None:
            yield module
            yield from _classes(module)
            yield from [value for value in vars(module).values() if _is_value(value)]


def _is_value(holder):
    """Tell whether something is a value of a dataclass, which may hold functions as a norm does."""
    return dataclasses.is_dataclass(holder) and not inspect.isclass(holder)


def _import_types(modules):
    """Import what modules import for type checkers alone, so that their annotations can be evaluated.

    A name may itself be defined for type checkers alone, in a module whose turn comes later: such imports are
    tried again.
    """
    waiting = [(module, line) for module in modules for line in _for_type_checkers(module)]
    while waiting:
        again = []
        for module, line in waiting:
            try:
                exec(compile(ast.Module([line], []), module.__file__, "exec"), vars(module))
            except (ImportError, NameError):
                again.append((module, line))
        if len(again) == len(waiting):
            raise ImportError(f"{again[0][0].__name__}: {ast.unparse(again[0][1])}")
        waiting = again


def _for_type_checkers(module):
    for node in ast.parse(Path(module.__file__).read_text("utf-8")).body:
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            yield from node.body
