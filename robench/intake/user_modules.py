"""A user's Python file and its imports from the same folder: run from source, isolated. No torch here."""

from __future__ import annotations

import ast
import builtins
import hashlib
import importlib.util
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from robench.errors import ConfigError
from robench.intake.limits import PYTHON_FILE
from robench.intake.regular_file import read_regular


class UserModules:
    """The modules of one folder, as one of its files sees them.

    They are compiled from their source, never from a cache that could be older, and have unique names in the
    process: two folders may each have a `blocks.py`. Imports from the folder of the file are resolved here,
    also imports inside functions that run later; all others are resolved as usual, and so are modules that
    the process has already imported from the same file.

    Args:
        file: the user's file; the modules beside it are those in its folder.
    """

    def __init__(self, file: Path) -> None:
        self.file = file.absolute()
        self.folder = self.file.parent
        self.name = "robench_user_" + hashlib.sha256(str(self.file.resolve()).encode()).hexdigest()[:12]
        self._modules: dict[str, ModuleType] = {}
        self._builtins = {**vars(builtins), "__import__": self._import}

    def load(self) -> ModuleType:
        """Run the file and return its module.

        Raises:
            Exception: any error of its code.
        """
        self._forget()
        return self._run(self.name, self.file, package=None)

    def _forget(self) -> None:
        self._modules.clear()
        for name in [n for n in sys.modules if n == self.name or n.startswith(f"{self.name}.")]:
            del sys.modules[name]

    def _run(self, name: str, file: Path | None, *, package: Path | None) -> ModuleType:
        spec = importlib.util.spec_from_loader(name, loader=None, origin=str(file) if file else None)
        assert spec is not None
        module = importlib.util.module_from_spec(spec)
        module.__dict__["__builtins__"] = self._builtins
        if file is not None:
            module.__file__ = str(file)
        if package is not None:
            module.__path__ = [str(package)]
        module.__package__ = name if package is not None else name.rpartition(".")[0]
        sys.modules[name] = module  # dataclasses and pickling inside the file look it up there
        if file is not None:
            try:
                exec(compile(_source(file), str(file), "exec", dont_inherit=True), module.__dict__)  # noqa: S102
            except BaseException:
                del sys.modules[name]
                raise
        return module

    def _import(
        self,
        name: str,
        globals: Mapping[str, Any] | None = None,
        locals: Mapping[str, Any] | None = None,
        fromlist: Sequence[str] | None = (),
        level: int = 0,
    ) -> Any:
        path = self._dotted(name, globals or {}, level)
        if path is None or (path and not self._mine(path.partition(".")[0])):
            return builtins.__import__(name, globals, locals, fromlist or (), level)
        module = self._module(path) if path else self._root()
        if not fromlist:
            return self._module(path.partition(".")[0])
        for entry in self._names(module, fromlist):
            inner = f"{path}.{entry}" if path else entry
            if not hasattr(module, entry) and located(self.folder, inner) is not None:
                self._module(inner)
        return module

    def _dotted(self, name: str, importer: Mapping[str, Any], level: int) -> str | None:
        """Return the name relative to the folder; None for one that leads out of it."""
        if level == 0:
            return name
        package = str(importer.get("__package__") or "")
        parts = package.removeprefix(self.name).strip(".").split(".") if package != self.name else []
        parts = [part for part in parts if part]
        if level - 1 > len(parts):
            return None
        outer = parts[: len(parts) - (level - 1)]
        return ".".join([*outer, *([name] if name else [])])

    def _mine(self, top: str) -> bool:
        """Tell whether a top-level name means a module beside the file."""
        where = located(self.folder, top)
        if where is None:
            return False
        file, folder = where
        module = sys.modules.get(top)
        spec = getattr(module, "__spec__", None) if module is not None else _spec(top)
        origin = getattr(module, "__file__", None) or getattr(spec, "origin", None)
        if origin is not None and file is not None and Path(origin).resolve() == file.resolve():
            return False  # a module of the process: a second copy would be a different module
        # A folder without `__init__.py` is a package only if nothing else has its name.
        return file is not None or (folder is not None and origin is None)

    def _module(self, path: str) -> ModuleType:
        """Return a module beside the file, by its name relative to the folder; it is run at its first use."""
        if path in self._modules:
            return self._modules[path]
        parent, _, last = path.rpartition(".")
        above = self._module(parent) if parent else None
        where = located(self.folder, path)
        if where is None:
            raise ModuleNotFoundError(f"No module named {path!r} beside {self.file.name}", name=path)
        file, folder = where
        full = f"{self.name}.{path}"
        if full not in sys.modules:
            self._run(full, file, package=folder)
        module = self._modules[path] = sys.modules[full]
        if above is not None:
            setattr(above, last, module)
        return module

    def _root(self) -> ModuleType:
        """Return the package from which `from . import blocks` in the file itself imports."""
        root = sys.modules[self.name]
        for entry in self.folder.iterdir():
            if entry.stem in self._modules:
                root.__dict__.setdefault(entry.stem, self._modules[entry.stem])
        return _Beside(self)

    @staticmethod
    def _names(module: ModuleType, fromlist: Sequence[str]) -> list[str]:
        if "*" in fromlist:
            return [str(name) for name in getattr(module, "__all__", ())]
        return list(fromlist)


class _Beside(ModuleType):
    """The folder itself as a package: its attributes are the modules in it."""

    def __init__(self, modules: UserModules) -> None:
        super().__init__(modules.name)
        self._own = modules

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or located(self._own.folder, name) is None:
            raise AttributeError(name)
        return self._own._module(name)


def located(folder: Path, path: str) -> tuple[Path | None, Path | None] | None:
    """Return the file of a module and, for a package, its folder; None if there is neither.

    Args:
        folder: where to look.
        path: the module's name relative to it, with dots.
    """
    place = folder.joinpath(*path.split("."))
    if (place / "__init__.py").is_file():
        return place / "__init__.py", place
    if place.with_name(place.name + ".py").is_file():
        return place.with_name(place.name + ".py"), None
    if place.is_dir() and any(place.glob("*.py")):
        return None, place
    return None


def _source(file: Path) -> bytes:
    return read_regular(file, PYTHON_FILE, error=ConfigError, expected="a readable Python file")


def source_digest(file: Path) -> str:
    """Return the SHA-256 over a file and all it imports from its folder, also inside functions.

    Imports whose names are computed when the code runs, and files that it opens, are not followed.

    Raises:
        ConfigError: the file cannot be read.
    """
    folder, digest = file.absolute().parent, hashlib.sha256()
    waiting, contents = [file.absolute()], dict[Path, bytes]()
    while waiting:
        path = waiting.pop()
        if path in contents:
            continue
        contents[path] = _source(path)
        waiting += [other for other in _imported_files(contents[path], path, folder) if other not in contents]
    for path in sorted(contents):
        name = path.relative_to(folder) if path != file.absolute() else Path("file.py")
        digest.update(f"{name.as_posix()}\0{len(contents[path])}\0".encode() + contents[path])
    return digest.hexdigest()


def _imported_files(source: bytes, path: Path, folder: Path) -> list[Path]:
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return []  # it will not run either
    package = list(path.relative_to(folder).parent.parts)
    names: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            outer = package[: len(package) - (node.level - 1)] if node.level else []
            base = ".".join([*outer, *([node.module] if node.module else [])])
            names += [base, *(f"{base}.{alias.name}".strip(".") for alias in node.names)]
    files: list[Path] = []
    for name in filter(None, names):
        parts = name.split(".")
        for end in range(1, len(parts) + 1):
            where = located(folder, ".".join(parts[:end]))
            if where is not None and where[0] is not None:
                files.append(where[0])
    return files


def _spec(name: str) -> Any:
    try:
        return importlib.util.find_spec(name)
    except (ImportError, ValueError):
        return None
