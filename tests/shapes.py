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

from jaxtyping import AbstractArray, jaxtyped
from torch import Tensor
from torch.fx import Proxy

import robench.types
from robench.errors import RobenchError

WORDS = {name for name in vars(robench.types) if name in robench.types.__annotations__} | {
    "Float",
    "Int",
    "Bool",
}
CONTAINERS = {"Callable", "Sequence", "list", "Mapping", "dict", "Iterator", "Iterable"}
"""The entries of these are not looked at."""
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
    count = 0
    for module in modules:
        for holder in (module, *_classes(module)):
            for name, member in list(vars(holder).items()):
                function = _function_in(member)
                if function is None or function.__module__ != module.__name__ or not tensors_of(function):
                    continue
                if function is member:
                    wrappers[id(member)] = (member, checking(member))
                else:  # nobody imports it: it is replaced where it stands
                    setattr(holder, name, type(member)(checking(function)))
                    count += 1
    for holder in _holders():
        names = [f.name for f in dataclasses.fields(holder)] if _is_value(holder) else list(vars(holder))
        for name in names:
            member = getattr(holder, name) if _is_value(holder) else vars(holder)[name]
            if id(member) in wrappers and wrappers[id(member)][0] is member:
                setter = object.__setattr__ if _is_value(holder) else setattr
                setter(holder, name, wrappers[id(member)][1])
    return len(wrappers) + count


def _function_in(member):
    """Return the function that a member of a module or class is, or that it wraps."""
    if isinstance(member, property):
        return member.fget if member.fset is None else None
    function = member.__func__ if isinstance(member, staticmethod | classmethod) else member
    return function if inspect.isfunction(function) else None


def tensors_of(function):
    """Return the names of a function's arguments, and `return`, whose annotations name tensors."""
    if inspect.isgeneratorfunction(inspect.unwrap(function)):  # a context manager, or an iterator
        return []
    return [name for name, hint in function.__annotations__.items() if _names_tensor(hint)]


def _names_tensor(hint):
    """Tell whether an annotation names a tensor outside of a container."""
    if not isinstance(hint, str):
        origin = typing.get_origin(hint)
        if getattr(origin, "__name__", "") in CONTAINERS:
            return False
        is_word = inspect.isclass(hint) and issubclass(hint, AbstractArray)
        return is_word or any(map(_names_tensor, typing.get_args(hint)))
    waiting = [ast.parse(hint.strip(), mode="eval").body]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Name) and node.id in WORDS:
            return True
        if not (isinstance(node, ast.Subscript) and ast.unparse(node.value) in CONTAINERS):
            waiting.extend(ast.iter_child_nodes(node))
    return False


def checking(function):
    """Return a function that raises a `ShapeError` where a tensor is not as its annotation says.

    The same letter stands for the same number in all arguments and in the result of one call. While a network
    is traced there are no tensors, and nothing is checked.
    """
    names = tensors_of(function)
    signature = inspect.signature(function)
    many = {p.name for p in signature.parameters.values() if p.kind is p.VAR_POSITIONAL}
    hints: dict[str, object] = {}

    def check(values):
        if not hints:
            types = typing.get_type_hints(function, include_extras=True)
            hints.update({name: types[name] for name in names})
        for name, hint in hints.items():
            for value in values[name] if name in values and name in many else [values.get(name)]:
                if name not in values or isinstance(value, Proxy) or fits(value, hint):
                    continue
                say = function.__annotations__[name]
                raise ShapeError(
                    f"{function.__module__}.{function.__qualname__}: {name} is {shown(value)}, not {say}"
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
            try:
                check(values)
            except ShapeError as error:
                try:
                    function(*args, **kwargs)
                except RobenchError:  # it refuses them itself, with an error for the user
                    raise
                except Exception:  # noqa: BLE001 - what it says of wrong shapes is no help
                    raise error from None
                raise
            if key not in memory:
                result = function(*args, **kwargs)
            check({"return": result})
        memory.setdefault(key, set()).add(kind(result))
        return result

    return call


def shown(value):
    """Return a value for a message: of a tensor type and shape, of a tuple all parts."""
    if isinstance(value, tuple):
        return f"({', '.join(map(shown, value))})"
    return f"{value.dtype} {tuple(value.shape)}" if hasattr(value, "shape") else repr(value)


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
