"""The index of plugins, ours and third parties', found by entry point. No torch here."""

from __future__ import annotations

import dataclasses
import importlib
import sys
from functools import cache
from importlib.metadata import Distribution, EntryPoint, entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, get_args

from robench.errors import PluginError, nearest

Kind = Literal["attacks", "defenses", "models", "heads", "datasets", "reports", "figures", "builders"]
KINDS: tuple[Kind, ...] = get_args(Kind)
OUR_PACKAGES = ("attacks", "defenses", "model_zoo", "reports")


@cache
def _everything() -> Any:
    # Looking through every installed distribution takes tens of milliseconds: once is enough. Its type
    # differs between Python 3.11 and 3.12; `select` is in both.
    return entry_points()


@cache
def _owner(dist: Distribution) -> str:
    return dist.name  # parses the distribution's metadata each time it is asked


@cache
def _index(kind: Kind) -> dict[str, tuple[EntryPoint, ...]]:
    index: dict[str, list[EntryPoint]] = {}
    for point in _everything().select(group=f"robench.{kind}"):
        known = index.setdefault(point.name, [])
        # The same distribution can be listed twice (an editable install run from its own folder).
        if all(point.value != other.value for other in known):
            known.append(point)
    return {name: tuple(points) for name, points in sorted(index.items())}


def names(kind: Kind) -> list[str]:
    """Return the sorted names of all installed plugins of a kind, without importing them."""
    return list(_index(kind))


def called(kind: Kind, value: str) -> str | None:
    """Return the name of the plugin whose class is `module:qualname`, as records name it; None for none.

    An entry point may lead to a class through another module that imports it, and a class may have moved
    since records named it (`identity` of its info); then the plugins of the same top-level package are loaded
    and asked. One that cannot be loaded is passed over.
    """
    for name, points in _index(kind).items():
        if points[0].value == value:
            return name
    package = value.partition(":")[0].partition(".")[0]
    for name, points in _index(kind).items():
        if points[0].module.partition(".")[0] != package:
            continue
        try:
            recipe = find(kind, name)
        except PluginError:
            continue
        here = f"{getattr(recipe, '__module__', '')}:{getattr(recipe, '__qualname__', '')}"
        if value in {here, getattr(recipe.info, "identity", "")}:
            return name
    return None


def distribution(kind: Kind, name: str) -> str:
    """Return the name of the distribution that provides a plugin."""
    dist = _index(kind)[name][0].dist
    return _owner(dist) if dist else "unknown"


def find(kind: Kind, name: str, *, where: str = "") -> Any:
    """Load a plugin by name.

    Args:
        kind: which group to look in.
        name: the entry point's name, such as `pgd` or `art/pgd`.
        where: file and line, for the message.

    Raises:
        PluginError: unknown name (the nearest names are given), claimed by two distributions, hidden by a
            user's folder of the same name, it fails to import, or it is no dataclass of options with an
            `info`.
    """
    noun = kind.removesuffix("s")
    points = _index(kind).get(name, ())
    if not points:
        do = nearest(name, names(kind))
        raise PluginError(where=where, expected=f"the name of an installed {noun}", got=repr(name), do=do)
    if len(points) > 1:
        owners = " and ".join(sorted(p.dist.name if p.dist else p.value for p in points))
        raise PluginError(
            where=where,
            expected=f"one owner of the {noun} {name!r}",
            got=f"{len(points)}: {owners}",
            do="Uninstall one of them",
        )
    point = points[0]
    try:
        plugin = point.load()
    except ModuleNotFoundError as error:
        check_shadows()
        raise PluginError(
            where=where,
            expected=f"{noun} {name!r} to import",
            got=f"missing module {error.name!r}",
            do=f"Install {error.name!r}, or reinstall {distribution(kind, name)!r}",
        ) from error
    except Exception as error:
        # The boundary to other people's modules: whatever one raises when imported is about that plugin only.
        check_shadows()
        raise PluginError(
            where=where,
            expected=f"{noun} {name!r} to import",
            got=f"{type(error).__name__}: {error}",
            do=f"Update or uninstall {distribution(kind, name)!r}",
        ) from error
    described = dataclasses.is_dataclass(plugin) and isinstance(plugin, type) and hasattr(plugin, "info")
    if kind != "builders" and not described:
        raise PluginError(
            where=where,
            expected=f"{noun} {name!r} to be a dataclass of options with an `info`",
            got=f"{point.value} is {plugin!r:.80}",
            do=f"Mend the entry point, or uninstall {distribution(kind, name)!r}",
        )
    return plugin


def check_shadows() -> None:
    """Refuse to go on when a user's own folder hides one of our top-level packages.

    Raises:
        PluginError: names the folder that hides the package and the remedy.
    """
    root = Path(__file__).resolve().parent.parent
    for package in OUR_PACKAGES:
        loaded = sys.modules.get(package)
        spec = loaded.__spec__ if loaded is not None else find_spec(package)
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


def refresh() -> None:
    """Forget the index, for a process that installs plugins while it runs."""
    importlib.invalidate_caches()
    _everything.cache_clear()
    _index.cache_clear()
