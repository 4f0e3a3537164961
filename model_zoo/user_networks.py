"""A user's own networks, by file and function."""

from __future__ import annotations

import copy
import inspect
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any, cast

from torch import Tensor, nn
from torch.nn.parameter import UninitializedParameter

from model_zoo.user_modules import UserModules, source_digest
from robench.errors import ConfigError, RobenchError, nearest


def is_factory(name: str) -> bool:
    """Return whether an architecture's name means `path/to/file.py:factory`."""
    return name.rpartition(":")[0].endswith(".py")


def user_model(
    reference: str, *, classes: int, options: dict[str, Any], trust_code: bool, where: str
) -> nn.Module:
    """Return what a user's own function makes.

    The function is called with the options, and with `classes` if it has a parameter of that name. Its file
    may import what lies beside it (`user_modules.UserModules`); what both switch for the whole process is
    switched back (`robench.model.global_state`).

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
    from robench.model.global_state import kept_global_state

    modules = UserModules(path)
    with kept_global_state(), blamed(where, path):
        module = modules.load()
        factory = _factory(module, name, path, where)
        if isinstance(factory, nn.Module):
            network: Any = copy.deepcopy(factory)  # of every row its own
        else:
            parameters = inspect.signature(factory).parameters.values()
            wants = any(p.name == "classes" or p.kind is p.VAR_KEYWORD for p in parameters)
            network = factory(**({"classes": classes, **options} if wants else options))
    if not isinstance(network, nn.Module):
        raise _no_network(network, reference, where)
    lazy = [key for key, value in network.named_parameters() if isinstance(value, UninitializedParameter)]
    if lazy:
        raise ConfigError(
            where=where,
            expected="a network whose weights exist",
            got=f"lazy layers without any: {', '.join(lazy[:4])}",
            do="Ask it once in the factory: `network(torch.zeros(1, C, H, W))`",
        )
    return network


def code_facts(reference: str) -> dict[str, str]:
    """Return what identifies a user's code: the digest of the file and of what it imports from beside it.

    Args:
        reference: `path/to/file.py:factory`.
    """
    path = Path(reference.rpartition(":")[0])
    return {"code_sha256": source_digest(path)} if path.is_file() else {}


def _no_network(value: Any, reference: str, where: str) -> ConfigError:
    got, do = f"{type(value).__name__} from {reference}", ""
    if isinstance(value, type):
        got, do = f"the class {value.__name__} from {reference}", "Return an instance: call it"
    elif isinstance(value, Mapping):
        do = "Build the network and load these weights into it: `network.load_state_dict(...)`"
    elif isinstance(value, Tensor):
        do = "Name a function that makes the network, not one that answers to images"
    elif value is None:
        do = "Return the network at the end of the function"
    return ConfigError(where=where, expected="a factory that returns a torch.nn.Module", got=got, do=do)


def _factory(module: ModuleType, name: str, path: Path, where: str) -> Callable[..., Any]:
    factory = getattr(module, name, None)
    if not callable(factory):
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
        if not isinstance(error, Exception | SystemExit) or isinstance(error, RobenchError):
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
