"""Packages that list their public names and load each on first use: importing one stays instant."""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable
from importlib import import_module
from inspect import Signature, signature
from pathlib import Path
from types import ModuleType
from typing import Any


def face(package: str, file: str) -> tuple[Callable[[str], Any], Callable[[], list[str]], list[str]]:
    """Return `__getattr__`, `__dir__` (PEP 562) and `__all__` of a package whose `__init__` lists its names.

    The list is what the file imports under `if TYPE_CHECKING:`, where type checkers read it too; so a name is
    written once.

    Args:
        package: its full name.
        file: its `__init__.py`.

    Raises:
        ValueError: a public name is that of a module of the package too; what it means would depend on what
            was imported before.
    """
    homes: dict[str, str] = {}
    for node in ast.parse(Path(file).read_text("utf-8")).body:
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            for line in node.body:
                if isinstance(line, ast.ImportFrom) and line.module:
                    homes |= {alias.name: line.module for alias in line.names}
    modules = {home.removeprefix(f"{package}.") for home in homes.values()}
    if both := sorted(modules & set(homes)):
        raise ValueError(f"{package}: names of modules cannot be public names too: {', '.join(both)}")

    def load(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        if (Path(file).parent / name / "__init__.py").is_file():
            return import_module(f"{package}.{name}")  # a room that can be called: see `make_callable`
        return getattr(import_module(homes[name]), name)

    return load, lambda: sorted({*homes, *vars(sys.modules[package])}), sorted(homes)


class CallableRoom(ModuleType):
    """A package that is a function too, such as `robench.attack`."""

    _target: str

    def __call__(self, *args: Any, **options: Any) -> Any:
        """Call the function; see `help(robench.api.attack)`."""
        return self._function(*args, **options)

    @property
    def _function(self) -> Callable[..., Any]:
        module, _, name = self._target.partition(":")
        function: Callable[..., Any] = getattr(import_module(module), name)
        return function

    @property
    def __signature__(self) -> Signature:
        """That of the function."""
        return signature(self._function)


def make_callable(package: str, target: str) -> None:
    """Let a package be called like a function.

    A function of the package's name beside it would be hidden as soon as the package is imported.

    Args:
        package: its full name.
        target: the function, `module:name`; imported on the first call.
    """
    module = sys.modules[package]
    module.__class__ = CallableRoom
    module._target = target  # type: ignore[attr-defined]
