"""What a name of a plugin means: it is looked up, loaded and explained. No torch here."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable
from typing import Any

from robench import option_docs
from robench.catalogue import AttackFacts
from robench.errors import PluginError, nearest
from robench.plugin_index import (
    KINDS,
    Kind,
    broken_catalogues,
    catalogues_of,
    check_shadows,
    listed,
    owner_of,
    points_of,
    refresh,
    spellings_of,
)
from robench.recipe import summary

__all__ = [
    "KINDS",
    "Kind",
    "brief",
    "broken_catalogues",
    "called",
    "check_shadows",
    "distribution",
    "elsewhere",
    "explained",
    "facts",
    "find",
    "names",
    "proper",
    "refresh",
]


def names(kind: Kind) -> list[str]:
    """Return the sorted names of all installed plugins of a kind, without importing them."""
    return sorted(set(spellings_of(kind).values()))


def proper(kind: Kind, name: str) -> str | None:
    """Return the name by which the plugin is listed that a name means; None where it means none, or several.

    A name as it stands comes first, then one that differs only in capitals, or in hyphens for underscores.
    """
    if name in points_of(kind):
        return name  # the tables of libraries are read only where they may be meant
    spellings = spellings_of(kind)
    if name in spellings:
        return spellings[name]
    plain = _plain(name)
    matches = {target for spelling, target in spellings.items() if _plain(spelling) == plain}
    return matches.pop() if len(matches) == 1 else None


def _plain(name: str) -> str:
    return name.lower().replace("-", "_")


def brief(kind: Kind, name: str) -> tuple[str, str]:
    """Return the first sentence about a plugin, and its paper.

    Raises:
        PluginError: as `find` does.
    """
    if name in names(kind) and (place := listed(kind, name)):
        return place[0].brief(place[1])
    recipe = find(kind, name)
    return summary(recipe), recipe.info.paper


def facts(name: str) -> AttackFacts:
    """Return what a list says about an attack.

    Raises:
        PluginError: as `find` does.
    """
    if name in names("attacks") and (place := listed("attacks", name)):
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
    if listed_name is not None and (place := listed(kind, listed_name)):
        texts = {**place[0].explained(place[1]), **texts}
    return texts


def called(kind: Kind, value: str) -> str | None:
    """Return the name of the plugin whose class is `module:qualname`, as records name it; None for none.

    An entry point may lead to a class through another module that imports it, and a class may have moved
    since records named it (`identity` of its info); then the plugins of the same top-level package are loaded
    and asked. One that cannot be loaded is passed over.
    """
    for name, points in points_of(kind).items():
        if points[0].value == value:
            return name
    for library, (_, catalogue) in catalogues_of(kind).items():
        if theirs := catalogue.called(value):
            return f"{library}/{theirs}"
    package = value.partition(":")[0].partition(".")[0]
    for name, points in points_of(kind).items():
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
    place = points_of(kind).get(name)
    dist = (place[0] if place else catalogues_of(kind)[name.partition("/")[0]][0]).dist
    return owner_of(dist) if dist else "unknown"


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
    if place := listed(kind, proper_name):
        return place[0].find(place[1])
    name = proper_name
    points = points_of(kind)[name]
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
            do=f"Correct the entry point, or uninstall {distribution(kind, name)!r}",
        )
    return plugin


def elsewhere(kind: Kind, name: str) -> str:
    """Return how a plugin is to be called that a name nearly means, or why it is none; empty for nothing.

    That is: names that differ in capitals, a library's attack without its library, one that is left out.
    """
    spellings = spellings_of(kind)
    library, slash, inner = name.partition("/")
    if matches := [spelling for spelling in spellings if spelling.lower() == name.lower()]:
        return f"Write {' or '.join(map(repr, matches))}"
    if kind == "attacks" and not slash:
        have = [s for s in spellings if s.partition("/")[2].lower() == name.lower()]
        if have:
            return f"A library has it: write {' or '.join(map(repr, have))}"
    if slash and library in catalogues_of(kind):
        for other, reason in catalogues_of(kind)[library][1].left_out.items():
            if other.lower() == inner.lower():
                return f"{library} has it, and it is left out: {reason[0].lower()}{reason[1:]}"
    return ""


def _nearest(kind: Kind, name: str) -> str:
    spellings: Iterable[str] = spellings_of(kind)
    library, slash, _ = name.partition("/")
    if slash and library in catalogues_of(kind):
        spellings = [spelling for spelling in spellings if spelling.startswith(f"{library}/")]
    close = nearest(name, spellings)
    # Where nothing is near, some of ours are listed rather than some of a library's.
    return close if close.endswith("?") or slash else nearest(name, points_of(kind))
