"""Shapes and types of tensors, checked in every call of our public functions while the tests run."""

import ast
import functools
import importlib
import inspect
import pkgutil
import sys
import types
from pathlib import Path

from beartype import beartype
from jaxtyping import jaxtyped

WORDS = (
    "Images", "Labels", "Pairs", "Outputs", "PerSample", "Mask", "Features", "Column", "Float[", "Int[",
    "Bool[",
)  # fmt: skip
DRAWN = ("Sequence[", "list[", "tuple[", "Mapping[", "dict[", "Iterator[", "Iterable[")
PACKAGES = ("attacks", "defenses", "model_zoo", "robench.attack", "robench.judge", "robench.model")


def check_shapes() -> int:
    """Put a check of shapes into every function that names a tensor word; return how many there are.

    A function is replaced wherever a module of ours holds it, so that those who imported it are checked too.
    """
    modules = [module for package in PACKAGES for module in _modules(package)]
    checked: dict[int, tuple[object, object]] = {}
    _import_types(modules)
    for module in modules:
        for holder in (module, *_classes(module)):
            for member in list(vars(holder).values()):
                if inspect.isfunction(member) and member.__module__ == module.__name__ and _speaks(member):
                    checked[id(member)] = (member, _checked(member))
    for holder in _holders():
        for name, member in list(vars(holder).items()):
            if id(member) in checked and checked[id(member)][0] is member:
                setattr(holder, name, checked[id(member)][1])
    return len(checked)


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


def _speaks(function):
    if hasattr(function, "__wrapped__") or inspect.isgeneratorfunction(function):
        return False  # a context manager, say; and checking a generator would switch off all other checks
    return any(_names_a_tensor(hint) for hint in function.__annotations__.values())


def _names_a_tensor(hint):
    """Tell whether to check an annotation: of a list beartype checks one entry that it draws at random."""
    text = str(hint)
    return any(word in text for word in WORDS) and not any(kind in text for kind in DRAWN)


def _checked(function):
    """Return the function with a check of its tensors; its other arguments may be stand-ins of a test."""
    copy = types.FunctionType(
        function.__code__,
        function.__globals__,
        function.__name__,
        function.__defaults__,
        function.__closure__,
    )
    functools.update_wrapper(copy, function)
    del copy.__wrapped__  # it is no wrapper
    copy.__kwdefaults__ = function.__kwdefaults__
    copy.__annotations__ = {
        name: hint for name, hint in function.__annotations__.items() if _names_a_tensor(hint)
    }
    return functools.wraps(function)(jaxtyped(beartype(copy), typechecker=None))


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
