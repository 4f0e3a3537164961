"""A user's own networks, by file and function."""

from __future__ import annotations

import hashlib
import importlib.util
import inspect
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any, cast

from torch import nn

from robench.errors import ConfigError, nearest


def is_factory(name: str) -> bool:
    """Return whether an architecture's name means `path/to/file.py:factory`."""
    return name.rpartition(":")[0].endswith(".py")


def user_model(
    reference: str, *, classes: int, options: dict[str, Any], trust_code: bool, where: str
) -> nn.Module:
    """Return what a user's own function makes.

    The function is called with the options, and with `classes` if it has a parameter of that name. Its file
    is imported alone: modules beside it are found only if they can be imported anyway.

    Args:
        reference: `path/to/file.py:factory`.
        classes: number of classes.
        options: keyword arguments of the factory.
        trust_code: whether the user allowed code from files to run.
        where: for the message.

    Raises:
        ConfigError: not trusted (nothing was run), no such file or function, an error inside it (its file and
            line are given), or a result that is no `nn.Module`.
    """
    if not trust_code:
        raise ConfigError(
            where=where,
            expected="permission to run code from a file",
            got=repr(reference),
            do="Read the file, then pass --trust-code if you trust it",
        )
    place, _, name = reference.rpartition(":")
    path = Path(place)
    if not path.is_file():
        raise ConfigError(where=where, expected=f"the file {path.absolute()}", got="none")
    factory = _factory(_imported(path, where), name, path, where)
    with blamed(where, path):
        parameters = inspect.signature(factory).parameters.values()
        wants = any(p.name == "classes" or p.kind is p.VAR_KEYWORD for p in parameters)
        network = factory(**({"classes": classes, **options} if wants else options))
    if not isinstance(network, nn.Module):
        got = f"{type(network).__name__} from {reference}"
        raise ConfigError(where=where, expected="a factory that returns a torch.nn.Module", got=got)
    return network


def _imported(path: Path, where: str) -> ModuleType:
    name = "robench_user_" + hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:12]
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ConfigError(where=where, expected="a Python file", got=str(path))
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses and pickling inside the file look it up there
    with blamed(where, path):
        spec.loader.exec_module(module)
    return module


def _factory(module: ModuleType, name: str, path: Path, where: str) -> Callable[..., Any]:
    factory = getattr(module, name, None)
    if not callable(factory) or isinstance(factory, nn.Module):
        own = [key for key, value in vars(module).items() if callable(value) and not key.startswith("_")]
        got = "no such name" if factory is None else type(factory).__name__
        expected = f"a function {name!r} in {path}"
        raise ConfigError(where=where, expected=expected, got=got, do=nearest(name, own))
    return cast("Callable[..., Any]", factory)


class blamed:  # noqa: N801 - used like a function
    """Turns whatever code that is not ours raises into a ConfigError that says where in it.

    Args:
        where: for the message.
        path: the user's file, None for a library.
    """

    def __init__(self, where: str, path: Path | None = None) -> None:
        self._where, self._path = where, path

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # SystemExit too: a script without a `__main__` guard must not end the run as if it had succeeded.
        if not isinstance(error, Exception | SystemExit) or isinstance(error, ConfigError):
            return
        line = self._line(error, trace)
        raised = f"{type(error).__name__}: {error}"
        raise ConfigError(
            where=self._where,
            expected="the network to be made without an error",
            got=f"{raised} (at {line})" if line else raised,
        ) from error

    def _line(self, error: BaseException, trace: TracebackType | None) -> str:
        if self._path is None:
            return ""
        own = [
            f.lineno
            for f in traceback.extract_tb(trace)
            if Path(f.filename) == self._path.absolute() or Path(f.filename) == self._path
        ]
        line = error.lineno if isinstance(error, SyntaxError) else (own[-1] if own else None)
        return f"{self._path}, line {line}" if line else str(self._path)
