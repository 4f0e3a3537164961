"""Libraries of networks that may be missing: loaded, or the command that installs them."""

from __future__ import annotations

import importlib
from typing import Any

from robench.errors import ConfigError

_INSTALL = {"timm": "pip install 'robench[timm]'", "transformers": "pip install transformers"}


def library(package: str, name: str, where: str) -> Any:
    """Return the module of a library that networks by name need.

    Raises:
        ConfigError: it is not installed; says how to.
    """
    try:
        return importlib.import_module(package)
    except ImportError as error:
        do = f"Run: {_INSTALL[package]}"
        expected = f"the package {package} for {name!r}"
        raise ConfigError(where=where, expected=expected, got=str(error), do=do) from error
