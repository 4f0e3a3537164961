"""Laws of recipes of every kind: a recipe describes itself, and its import is cheap. No torch here."""

from __future__ import annotations

import dataclasses
import inspect
import os
import subprocess
import sys
from typing import Any, Protocol

from robench.conformance.result import InapplicableError, require
from robench.plurals import counted
from robench.recipe import Info, describe, options_of

_TIMEOUT = 120
_FOUND = 3
# Stopping at the first attempt saves the seconds that an import of torch takes.
_CODE = """
import importlib, sys
class Torch:
    def find_spec(name, *_):
        if name == "torch":
            sys.exit({code})
sys.meta_path.insert(0, Torch)
importlib.import_module({module!r})
"""


class Trial(Protocol):
    """What is checked."""

    @property
    def info_type(self) -> type[Info]:
        """What kind of `info` its kind of plugin has."""
        ...

    @property
    def recipe(self) -> Any:
        """The recipe, with its options."""
        ...


def described(trial: Trial) -> str:
    """It is a frozen dataclass of plain options with a docstring, a title and a paper."""
    from robench.plan.spec import canonical

    recipe = trial.recipe
    kind = type(recipe)
    require(dataclasses.is_dataclass(kind), f"{kind.__name__} is not a dataclass")
    require(kind.__dataclass_params__.frozen, f"{kind.__name__} is not frozen: write @dataclass(frozen=True)")
    info = getattr(recipe, "info", None)
    expected = trial.info_type.__name__
    require(isinstance(info, trial.info_type), f"info is {info!r}, not the {expected} it should be")
    for field in ("title", "paper"):
        value = getattr(info, field)
        require(isinstance(value, str) and bool(value.strip()), f"info.{field} is {value!r}")
    doc = inspect.getdoc(kind) or ""
    # A dataclass without a docstring gets its signature for one.
    require(bool(doc) and not doc.startswith(f"{kind.__name__}("), f"{kind.__name__} has no docstring")
    canonical(options_of(recipe))  # raises TypeError where an option is not plain data
    if hasattr(recipe, "user_code"):
        options = counted(len(describe(kind)), "option")
        raise InapplicableError(
            f"It is a function or class of a file, of which its host makes one: {options}"
        )
    return f"{counted(len(describe(kind)), 'option')}"


def light(trial: Trial) -> str:
    """Importing it does not import torch, so that listing and configuration errors stay instant."""
    module = type(trial.recipe).__module__
    if module.startswith("robench_user_") or hasattr(trial.recipe, "user_code"):
        raise InapplicableError("It is a file's, which is run when it is used and not to list it")
    if module == "__main__":
        raise InapplicableError("It is defined in the running script")
    path = os.pathsep.join(entry or os.getcwd() for entry in sys.path)
    process = subprocess.run(
        [sys.executable, "-c", _CODE.format(module=module, code=_FOUND)],
        capture_output=True,
        text=True,
        timeout=_TIMEOUT,
        env={**os.environ, "PYTHONPATH": path},
        check=False,
    )
    require(process.returncode != _FOUND, f"import {module} imports torch: import it inside functions")
    require(process.returncode == 0, f"import {module}: {process.stderr.strip().splitlines()[-1:]}")
    return f"import {module}"
