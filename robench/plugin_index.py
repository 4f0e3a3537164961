"""The index of plugins, ours and third parties', found by entry point. No torch here.

A package may also offer many attacks at once, as those of a library, by one entry point: a `Catalogue` in the
group `robench.catalogues`, whose name stands before theirs (`torchattacks/DIFGSM`).

A folder of a user that hides one of our packages would hide its plugins: it is refused.
"""

from __future__ import annotations

import importlib
import sys
from functools import cache
from importlib.metadata import Distribution, EntryPoint, entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, get_args

from robench.catalogue import Catalogue
from robench.errors import PluginError

Kind = Literal["attacks", "defenses", "models", "heads", "datasets", "reports", "figures", "builders"]
KINDS: tuple[Kind, ...] = get_args(Kind)
CATALOGUES = "robench.catalogues"

OUR_PACKAGES = ("attacks", "defenses", "model_zoo", "reports")


@cache
def _everything() -> Any:
    # Looking through every installed distribution takes tens of milliseconds: once is enough. Its type
    # differs between Python 3.11 and 3.12; `select` is in both.
    return entry_points()


@cache
def owner_of(dist: Distribution) -> str:
    """Return the name of a distribution."""
    return dist.name  # parses the distribution's metadata each time it is asked


@cache
def points_of(kind: Kind) -> dict[str, tuple[EntryPoint, ...]]:
    """Return the entry points of a kind by name, sorted; several where several packages claim a name."""
    index: dict[str, list[EntryPoint]] = {}
    for point in _everything().select(group=f"robench.{kind}"):
        owners = index.setdefault(point.name, [])
        # The same distribution can be listed twice (an editable install run from its own folder).
        if all(point.value != other.value for other in owners):
            owners.append(point)
    return {name: tuple(points) for name, points in sorted(index.items())}


@cache
def _loaded_catalogues() -> tuple[dict[str, tuple[EntryPoint, Catalogue]], dict[str, str]]:
    """Return the catalogues by name, and why others cannot be loaded."""
    catalogues: dict[str, tuple[EntryPoint, Catalogue]] = {}
    faults: dict[str, str] = {}
    for point in _everything().select(group=CATALOGUES):
        try:
            catalogues.setdefault(point.name, (point, point.load()))
        except Exception as error:  # noqa: BLE001 - the boundary to other people's modules, as in `find`
            faults[point.name] = f"{type(error).__name__}: {error}"
    return dict(sorted(catalogues.items())), faults


def catalogues_of(kind: Kind) -> dict[str, tuple[EntryPoint, Catalogue]]:
    """Return the catalogues that offer plugins of a kind, and their entry points, by name of the library."""
    return _loaded_catalogues()[0] if kind == "attacks" else {}


def broken_catalogues() -> dict[str, str]:
    """Return why catalogues of attacks cannot be loaded, by their names."""
    return _loaded_catalogues()[1]


@cache
def spellings_of(kind: Kind) -> dict[str, str]:
    """Return every name that a plugin may be called by, with the name it is listed by."""
    spellings = {name: name for name in points_of(kind)}
    for library, (_, catalogue) in catalogues_of(kind).items():
        own_names = {name: name for name in catalogue.names()}
        for name, proper_name in {**catalogue.aliases, **own_names}.items():
            spellings.setdefault(f"{library}/{name}", f"{library}/{proper_name}")
    return spellings


def listed(kind: Kind, name: str) -> tuple[Catalogue, str] | None:
    """Return the catalogue that a proper name is in, and its name there; None where it is in none."""
    if kind != "attacks" or name in points_of(kind):
        return None
    library, _, inner = name.partition("/")
    return catalogues_of(kind)[library][1], inner


def refresh() -> None:
    """Forget the index, for a process that installs plugins while it runs."""
    importlib.invalidate_caches()
    _everything.cache_clear()
    points_of.cache_clear()
    _loaded_catalogues.cache_clear()
    spellings_of.cache_clear()


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
