"""Modules imported anew, other code in one of them, with whoever uses it, in a process that is warm."""

from __future__ import annotations

import ast
import contextlib
import importlib
import importlib.util
import sys
from functools import cache
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

PACKAGES = ("robench", "attacks", "defenses", "model_zoo", "reports")


def warm() -> None:
    """Import all of the project, and what its tests use."""
    import hypothesis
    import pytest
    import scipy.stats
    import torch

    del hypothesis, pytest, scipy
    torch.set_num_threads(1)
    for package in PACKAGES:
        for path in sorted(Path(package).rglob("*.py")):
            module = ".".join(path.with_suffix("").parts).removesuffix(".__init__")
            if not module.endswith("__main__"):
                with contextlib.suppress(ImportError):
                    importlib.import_module(module)


def users_of(name: str) -> set[str]:
    """Return a module, and all that import it in any way."""
    ours = [module for module in sys.modules if module.split(".")[0] in PACKAGES]
    using = {module: imports(sys.modules[module]) for module in ours}
    users, new = set[str](), {name}
    while new:
        users |= new
        new = {module for module, names in using.items() if names & new} - users
    return users


def forget(modules: set[str]) -> None:
    """Have modules imported anew when they are asked for next."""
    for module in modules & sys.modules.keys():
        del sys.modules[module]


@cache
def imports(module: ModuleType) -> set[str]:
    """Return the modules of the project that a module imports where it is imported itself."""
    file = getattr(module, "__file__", None)
    if not file:
        return set()
    names = set()
    for node in ast.walk(ast.parse(Path(file).read_text("utf-8"))):
        match node:
            case ast.Import():
                names |= {alias.name for alias in node.names}
            case ast.ImportFrom(module=str(source), level=0):
                names |= {source, *(f"{source}.{alias.name}" for alias in node.names)}
    return {name for name in names if name.split(".")[0] in PACKAGES}


def install(name: str, file: Path, code: CodeType) -> None:
    """See to it that the next import of a module runs other code."""

    class Finder:
        @staticmethod
        def find_spec(module: str, path: Any = None, target: Any = None) -> Any:
            if module != name:
                return None
            spec = importlib.util.spec_from_file_location(name, file.resolve())
            assert spec is not None
            assert spec.loader is not None
            spec.loader.get_code = lambda _name: code  # type: ignore[attr-defined]
            return spec

    sys.meta_path.insert(0, Finder)
