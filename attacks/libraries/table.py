"""The tables of libraries' attacks: TOML beside this file, read into frozen entries. No torch here.

A table has three parts: `[left_out]` the reason why a class of the library is not an attack here, `[aliases]`
other names that the library has for an attack, `[attacks.NAME]` the facts of each attack:

    paper         key in `robench/papers.bib`; `tables/papers.toml` says how it is cited
    norms         the norms it aims at; of `L0` and of a `free` attack the images are judged under any norm
    kind          `fixed` (stays in a ball, the default), `smallest` (looks for the smallest perturbation), or
                  `free` (knows no radius, and what it finds need not be small)
    sees          `gradient` (the default), `score` or `decision`
    untargeted, targeted_only     which goals it cannot play; it plays both by default
    randomised, coupled           see `AttackInfo`: `randomised` and `couples_images`
    ascent        whether its gradients are the steps of one ascent of the cross-entropy
    one_by_one    whether the library attacks a single image at a time
    probabilities whether the library wants probabilities instead of scores
    layers        whether it reads the layers of the network
    radius        the option of the library that the radius goes to
    norm_option   the option of the library that the norm goes to
    note          a sentence about it
    needs         modules that it imports beside the library
    without       options of the library that no configuration can set: functions, images, other attacks
    options       what a user may set, as in a signature: the library's names and defaults
"""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from robench.papers import paper

TABLES = Path(__file__).parent / "tables"
REQUIRED: Any = object()
"""Marks an option without a default."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """An option of a library's attack: its name, its type, and its default or `REQUIRED`."""

    name: str
    kind: str
    default: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One attack of a library, as in its table; the module's docstring explains the keys."""

    name: str
    paper: str
    norms: tuple[str, ...]
    kind: str = "fixed"
    sees: str = "gradient"
    untargeted: bool = False
    targeted_only: bool = False
    randomised: bool = False
    coupled: bool = False
    ascent: bool = False
    one_by_one: bool = False
    probabilities: bool = False
    layers: bool = False
    radius: str = ""
    norm_option: str = ""
    note: str = ""
    needs: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    options: tuple[str, ...] = ()

    @property
    def settings(self) -> tuple[Setting, ...]:
        """The options, read."""
        return tuple(_setting(text) for text in self.options)

    @property
    def cite(self) -> str:
        """Authors, year and number of the paper."""
        return citations()[self.paper]

    @property
    def bibtex(self) -> str:
        """BibTeX entry of the paper."""
        return paper(self.paper)

    def options_named(self, name: str) -> bool:
        """Tell whether it has an option of this name."""
        return any(setting.name == name for setting in self.settings)

    @property
    def facts(self) -> str:
        """Norms, goal of the search, and needed knowledge, in a few words."""
        looks = {"fixed": "", "smallest": ", smallest", "free": ", no radius"}[self.kind]
        goal = ", targeted only" if self.targeted_only else ", untargeted only" if self.untargeted else ""
        sees = {"gradient": "gradients", "score": "scores", "decision": "labels"}[self.sees]
        return f"{', '.join(self.norms)}{looks}; {sees}{goal}{', randomised' if self.randomised else ''}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A library's attacks, its other names for them, and what is left out."""

    attacks: Mapping[str, Entry]
    aliases: Mapping[str, str]
    left_out: Mapping[str, str]


@cache
def read_table(library: str) -> Table:
    """Return the table of a library, such as `foolbox`."""
    content = tomllib.loads((TABLES / f"{library}.toml").read_text("utf-8"))
    return Table(
        attacks={name: _entry(name, row) for name, row in content["attacks"].items()},
        aliases=content.get("aliases", {}),
        left_out=content["left_out"],
    )


def _entry(name: str, row: Mapping[str, Any]) -> Entry:
    values: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value for key, value in row.items()
    }
    return Entry(name=name, **values)


def _setting(text: str) -> Setting:
    """Read `name: type = default`; `2/255` and `inf` are numbers."""
    declaration, equals, value = text.partition(" = ")
    name, _, kind = declaration.partition(": ")
    return Setting(name=name, kind=kind, default=_value(value) if equals else REQUIRED)


def _value(text: str) -> Any:
    def number(fraction: re.Match[str]) -> str:
        return repr(int(fraction[1]) / int(fraction[2]))

    return float(text) if text == "inf" else ast.literal_eval(re.sub(r"(-?\d+)/(\d+)", number, text))


@cache
def _sentences() -> dict[str, dict[str, str]]:
    return tomllib.loads((TABLES / "sentences.toml").read_text("utf-8"))


def sentence_of(library: str, entry: Entry) -> str:
    """Return one sentence about an attack: its own, or that of its paper."""
    sentences = _sentences()
    return sentences["attacks"].get(f"{library}/{entry.name}") or sentences["papers"][entry.paper]


@cache
def citations() -> dict[str, str]:
    """Return how papers are cited, authors, year and number, by key."""
    return tomllib.loads((TABLES / "papers.toml").read_text("utf-8"))
