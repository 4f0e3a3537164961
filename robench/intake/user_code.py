"""A reference to code in a user's file, `path/to/file.py:name`, and the consent that running it needs.

No torch here, and nothing of the file is run: `UserModules` does that.
"""

from __future__ import annotations

import ast
from pathlib import Path
from types import TracebackType
from typing import Any

from robench.errors import ConfigError, RobenchError, nearest
from robench.intake.code_places import place_of
from robench.intake.limits import PYTHON_FILE
from robench.intake.regular_file import read_regular


def is_reference(name: str) -> bool:
    """Tell whether a name is a reference to a file, `path/to/file.py:name`, and not a plugin."""
    return name.rpartition(":")[0].endswith(".py")


def parts_of(reference: str) -> tuple[Path, str]:
    """Return the file of a reference and the name in it."""
    file, _, name = reference.rpartition(":")
    return Path(file), name


def short_name(reference: str) -> str:
    """Return a reference without its folders, such as `mine.py:MyAttack`, for records and tables."""
    path, name = parts_of(reference)
    return f"{path.name}:{name}"


def check_consent(reference: str, *, trust_code: bool, where: str) -> None:
    """Refuse to run a file without the user's permission.

    Raises:
        ConfigError: `trust_code` is not set.
    """
    if not trust_code:
        raise ConfigError(
            where=where,
            expected="permission to run code from a file",
            got=repr(reference),
            do="Read the file, then pass --trust-code if you trust it",
        )


def check_defined(reference: str, *, where: str) -> None:
    """Refuse a reference to a file that is not there, or to a name it does not define; nothing is run.

    A name that a file gets by `import *`, or defines only when it runs, cannot be seen here: a file with such
    a line is accepted.

    Raises:
        ConfigError: no such file or name; the nearest names are given.
    """
    path, name = parts_of(reference)
    source = read_regular(path, PYTHON_FILE, error=ConfigError, expected="a readable Python file")
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError) as error:
        line = f", line {error.lineno}" if isinstance(error, SyntaxError) and error.lineno else ""
        got = f"{type(error).__name__}: {getattr(error, 'msg', error)}"
        raise ConfigError(where=where, expected=f"Python in {path}{line}", got=got) from None
    names = _defined(tree.body)
    if name not in names and "*" not in names:
        own = {n.name for n in tree.body if isinstance(n, ast.FunctionDef | ast.ClassDef)}
        choices = [choice for choice in own or names if not choice.startswith("_")]
        do = nearest(name, choices) if choices else "It defines nothing"
        raise ConfigError(where=where, expected=f"a function or class {name!r} in {path}", got="none", do=do)


def _defined(body: list[ast.stmt]) -> set[str]:
    """Return the names that statements define; `*` where they may define any."""
    names: set[str] = set()
    for node in body:
        match node:
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name) | ast.AsyncFunctionDef(name=name):
                names.add(name)
            case ast.Import(names=aliases) | ast.ImportFrom(names=aliases):
                names |= {alias.asname or alias.name.partition(".")[0] for alias in aliases}
            case _:
                for inner in ast.walk(node):
                    if isinstance(inner, ast.Name) and isinstance(inner.ctx, ast.Store):
                        names.add(inner.id)
                    elif isinstance(inner, ast.FunctionDef | ast.ClassDef):
                        names.add(inner.name)
                    elif isinstance(inner, ast.Import | ast.ImportFrom):
                        names |= {alias.asname or alias.name.partition(".")[0] for alias in inner.names}
    return names


class blamed:  # noqa: N801 - used like a function
    """Turns any error of code that is not ours into a ConfigError that gives the place in this code.

    Args:
        where: for the message.
        path: the user's file, None for a library.
        expected: what should have happened.
        do: what to do, if that is known.
    """

    def __init__(
        self,
        where: str,
        path: Path | None = None,
        expected: str = "the network to be made without an error",
        do: str = "",
    ) -> None:
        self._where, self._path, self._expected, self._do = where, path, expected, do

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # SystemExit too: a script without a `__main__` guard must not end the run as a success.
        if not isinstance(error, Exception | SystemExit) or isinstance(error, RobenchError):
            return
        place = place_of(error, self._path)
        message = f"{type(error).__name__}: {error}"
        raise ConfigError(
            where=self._where,
            expected=self._expected,
            got=f"{message} (at {place})" if place else message,
            do=self._do,
        ) from error


def attribute(module: Any, name: str, path: Path, where: str) -> Any:
    """Return the function or class `name` of a user's module.

    Raises:
        ConfigError: the module has no callable of that name; the nearest names are given.
    """
    value = getattr(module, name, None)
    if not callable(value):
        own = [key for key, value in vars(module).items() if callable(value) and not key.startswith("_")]
        got = "no such name" if value is None else type(value).__name__
        expected = f"a function {name!r} in {path}"
        raise ConfigError(where=where, expected=expected, got=got, do=nearest(name, own))
    return value
