"""The index of plugins, ours and third parties', found by entry point. No torch here.

A package may also offer many attacks at once, as those of a library, by one entry point: a `Catalogue` in the
group `robench.catalogues`, whose name stands before theirs (`torchattacks/DIFGSM`).
"""

from __future__ import annotations

import dataclasses
import importlib
import re
import sys
from collections.abc import Iterable
from functools import cache
from importlib.metadata import Distribution, EntryPoint, entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, get_args

from robench import option_docs
from robench.catalogue import AttackFacts, Catalogue
from robench.errors import PluginError, nearest
from robench.recipe import summary

Kind = Literal["attacks", "defenses", "models", "heads", "datasets", "reports", "figures", "builders"]
KINDS: tuple[Kind, ...] = get_args(Kind)
OUR_PACKAGES = ("attacks", "defenses", "model_zoo", "reports")
CATALOGUES = "robench.catalogues"


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


def _catalogues(kind: Kind) -> dict[str, tuple[EntryPoint, Catalogue]]:
    return _loaded_catalogues()[0] if kind == "attacks" else {}


def broken_catalogues() -> dict[str, str]:
    """Return why catalogues of attacks cannot be loaded, by their names."""
    return _loaded_catalogues()[1]


@cache
def _spellings(kind: Kind) -> dict[str, str]:
    """Return every name that a plugin may be called by, with the name it is listed by."""
    spellings = {name: name for name in _index(kind)}
    for library, (_, catalogue) in _catalogues(kind).items():
        own_names = {name: name for name in catalogue.names()}
        for name, proper_name in {**catalogue.aliases, **own_names}.items():
            spellings.setdefault(f"{library}/{name}", f"{library}/{proper_name}")
    return spellings


def _listed(kind: Kind, name: str) -> tuple[Catalogue, str] | None:
    """Return the catalogue that a proper name is in, and its name there; None where it is in none."""
    if kind != "attacks" or name in _index(kind):
        return None
    library, _, inner = name.partition("/")
    return _catalogues(kind)[library][1], inner


def names(kind: Kind) -> list[str]:
    """Return the sorted names of all installed plugins of a kind, without importing them."""
    return sorted(set(_spellings(kind).values()))


def proper(kind: Kind, name: str) -> str | None:
    """Return the name by which the plugin is listed that a name means; None where it means none, or several.

    A name as it stands comes first, then one that differs in capitals only.
    """
    if name in _index(kind):
        return name  # the tables of libraries are read only where they may be meant
    spellings = _spellings(kind)
    if name in spellings:
        return spellings[name]
    matches = {target for spelling, target in spellings.items() if spelling.lower() == name.lower()}
    return matches.pop() if len(matches) == 1 else None


def brief(kind: Kind, name: str) -> tuple[str, str]:
    """Return the first sentence about a plugin, and its paper.

    Raises:
        PluginError: as `find` does.
    """
    if name in names(kind) and (place := _listed(kind, name)):
        return place[0].brief(place[1])
    recipe = find(kind, name)
    return summary(recipe), recipe.info.paper


def facts(name: str) -> AttackFacts:
    """Return what a list tells of an attack.

    Raises:
        PluginError: as `find` does.
    """
    if name in names("attacks") and (place := _listed("attacks", name)):
        return place[0].facts(place[1])
    info = find("attacks", name).info
    return AttackFacts(norms=tuple(info.norms), knowledge=str(info.knowledge), smallest=info.minimises)


def explained(kind: Kind, name: str) -> dict[str, str]:
    """Return what the options of a plugin mean, by option, as far as its docstrings or its library say.

    Raises:
        PluginError: as `find` does.
    """
    texts = option_docs.explained(find(kind, name))
    listed_name = proper(kind, name)
    if listed_name is not None and (place := _listed(kind, listed_name)):
        texts = {**place[0].explained(place[1]), **texts}
    return texts


def called(kind: Kind, value: str) -> str | None:
    """Return the name of the plugin whose class is `module:qualname`, as records name it; None for none.

    An entry point may lead to a class through another module that imports it, and a class may have moved
    since records named it (`identity` of its info); then the plugins of the same top-level package are loaded
    and asked. One that cannot be loaded is passed over.
    """
    for name, points in _index(kind).items():
        if points[0].value == value:
            return name
    for library, (_, catalogue) in _catalogues(kind).items():
        if theirs := catalogue.called(value):
            return f"{library}/{theirs}"
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
    place = _index(kind).get(name)
    dist = (place[0] if place else _catalogues(kind)[name.partition("/")[0]][0]).dist
    return _owner(dist) if dist else "unknown"


def _of_file(kind: Kind, name: str) -> str:
    """Return what to do about a plugin in a file, of a kind that only packages have; else nothing."""
    if not re.search(r"\.py(:|$)", name):
        return ""
    do = f"Give them an entry point in the group `robench.{kind}` of a package (docs/plugins.md)"
    return f"{kind.capitalize()} are not taken from files. {do}"


def find(kind: Kind, name: str, *, where: str = "") -> Any:
    """Load a plugin by name.

    Args:
        kind: which group to look in.
        name: the entry point's name, such as `pgd` or `art/pgd`, or one of a catalogue's, such as
            `torchattacks/DIFGSM`; capitals need not be kept where only one plugin can be meant.
        where: file and line, for the message.

    Raises:
        PluginError: unknown name (the nearest names are given), claimed by two distributions, hidden by a
            user's folder of the same name, it fails to import, or it is no dataclass of options with an
            `info`.
    """
    noun = kind.removesuffix("s")
    proper_name = proper(kind, name)
    if proper_name is None:
        library = name.partition("/")[0]
        if kind == "attacks" and library in broken_catalogues():
            check_shadows()
            expected, got = f"the attacks of {library!r} to import", broken_catalogues()[library]
            raise PluginError(where=where, expected=expected, got=got, do="Update or reinstall their package")
        do = elsewhere(kind, name) or _of_file(kind, name) or _nearest(kind, name)
        raise PluginError(where=where, expected=f"the name of an installed {noun}", got=repr(name), do=do)
    if place := _listed(kind, proper_name):
        return place[0].find(place[1])
    name = proper_name
    points = _index(kind)[name]
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
    is_recipe = dataclasses.is_dataclass(plugin) and isinstance(plugin, type) and hasattr(plugin, "info")
    if kind != "builders" and not is_recipe:
        raise PluginError(
            where=where,
            expected=f"{noun} {name!r} to be a dataclass of options with an `info`",
            got=f"{point.value} is {plugin!r:.80}",
            do=f"Mend the entry point, or uninstall {distribution(kind, name)!r}",
        )
    return plugin


def elsewhere(kind: Kind, name: str) -> str:
    """Return how a plugin is to be called that a name nearly means, or why it is none; empty for nothing.

    That is: names that differ in capitals, a library's attack without its library, one that is left out.
    """
    spellings = _spellings(kind)
    library, slash, inner = name.partition("/")
    if matches := [spelling for spelling in spellings if spelling.lower() == name.lower()]:
        return f"Write {' or '.join(map(repr, matches))}"
    if kind == "attacks" and not slash:
        have = [s for s in spellings if s.partition("/")[2].lower() == name.lower()]
        if have:
            return f"A library has it: write {' or '.join(map(repr, have))}"
    if slash and library in _catalogues(kind):
        for other, reason in _catalogues(kind)[library][1].left_out.items():
            if other.lower() == inner.lower():
                return f"{library} has it, and it is left out: {reason[0].lower()}{reason[1:]}"
    return ""


def _nearest(kind: Kind, name: str) -> str:
    spellings: Iterable[str] = _spellings(kind)
    library, slash, _ = name.partition("/")
    if slash and library in _catalogues(kind):
        spellings = [spelling for spelling in spellings if spelling.startswith(f"{library}/")]
    close = nearest(name, spellings)
    # Where nothing is near, some of ours are listed rather than some of a library's.
    return close if close.endswith("?") or slash else nearest(name, _index(kind))


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


def refresh() -> None:
    """Forget the index, for a process that installs plugins while it runs."""
    importlib.invalidate_caches()
    _everything.cache_clear()
    _index.cache_clear()
    _loaded_catalogues.cache_clear()
    _spellings.cache_clear()
