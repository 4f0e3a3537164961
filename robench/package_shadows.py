"""Folders of a user that hide a package of ours."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path

from robench.errors import PluginError

OUR_PACKAGES = ("attacks", "defenses", "model_zoo", "reports")


def check_shadows() -> None:
    """Refuse to go on when a user's own folder hides one of our top-level packages.

    Raises:
        PluginError: names the folder that hides the package and the remedy.
    """
    root = Path(__file__).resolve().parent.parent
    for package in OUR_PACKAGES:
        module = sys.modules.get(package)
        spec = module.__spec__ if module is not None else find_spec(package)
        places = [Path(p).resolve() for p in (spec.submodule_search_locations or [])] if spec else []
        if spec and spec.origin and spec.origin.endswith(f"{package}.py"):
            places = [Path(spec.origin).resolve()]
        if root / package not in places:
            folders = ", ".join(map(str, places)) or "nothing"
            raise PluginError(
                expected=f"the package {package!r} of robench at {root / package}",
                got=folders,
                do="Rename that folder, run from another folder, or use `python -P -m robench`",
            )
