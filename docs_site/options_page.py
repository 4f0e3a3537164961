"""docs/options.md, made from the plugins themselves: every option of each, its type, default and meaning."""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Iterator, Mapping
from typing import Any, get_args

from robench import plugins
from robench.plan.bounds import METHODS
from robench.plugins import Kind
from robench.recipe import describe, summary

INTRODUCTION = """# Options of plugins

Every option of what comes with robench: what may stand below a name in a configuration, such as `pgd:
{steps: 40}`, and what `robench.make_attack("pgd", steps=40)` takes. `robench show NAME` prints the same,
and the options of other people's plugins and of the [attacks of libraries](attack-list.md), which are
theirs.

This page is made from the source by `make docs-tables`.
"""

SECTIONS: tuple[tuple[str, Kind, str], ...] = (
    (
        "Attacks",
        "attacks",
        "`threats: attacks:` takes these. When to use which: [attack-list.md](attack-list.md).",
    ),
    ("Training defenses", "defenses", "`train: defense:` takes these ([training.md](training.md))."),
    (
        "Inference-time defenses",
        "defenses",
        "`inference:` takes these ([inference-defenses.md](inference-defenses.md)).",
    ),
    ("Heads", "heads", "`head:` takes these ([graph-heads.md](graph-heads.md))."),
    ("Architectures", "models", "`architecture:` takes these."),
    ("Data sets", "datasets", "`dataset: options:` takes these."),
    (
        "Reports",
        "reports",
        "`robench export RUN --to NAME` writes those that are files ([exports.md](exports.md)).",
    ),
    ("Figures", "figures", "`robench plot NAME RUN` draws these ([results.md](results.md#curves))."),
)

WORDS = {"int": "whole number", "float": "number", "bool": "true, false", "str": "text"}


def meanings(recipe: type[Any]) -> dict[str, str]:
    """Return what each option means, from the part `Attributes:` of a docstring, of its bases too."""
    texts: dict[str, str] = {}
    for kind in reversed(recipe.__mro__):
        section = re.search(
            r"^Attributes:\n((?: +.*\n?|\n(?= ))+)", inspect.cleandoc(kind.__doc__ or ""), re.MULTILINE
        )
        name = ""
        for line in (section[1] if section else "").splitlines():
            if start := re.match(r" {4}(\w+): (.*)", line):
                name, texts[start[1]] = start[1], start[2]
            elif name:
                texts[name] += f" {line.strip()}"
    return texts


def type_in_words(kind: str, recipe: type[Any]) -> str:
    """Return the type of an option as a reader of a configuration knows it.

    Args:
        kind: the annotation, as in the source.
        recipe: the plugin, whose module may have a name for the type.
    """
    if names := get_args(getattr(sys.modules[recipe.__module__], kind, None)):
        return ", ".join(f"`{name}`" for name in names)
    if choices := re.fullmatch(r"Literal\[(.*)\]", kind):
        return ", ".join(f"`{text.strip(chr(34))}`" for text in choices[1].replace("'", '"').split(", "))
    parts = [WORDS.get(part, part) for part in kind.split(" | ")]
    if all(part in {*WORDS.values(), "None"} for part in parts):
        return " or ".join("null" if part == "None" else part for part in parts)
    if sequence := re.fullmatch(r"(?:tuple|list|Sequence)\[(\w+)(?:, \.\.\.)?\]( \| None)?", kind):
        return f"list of {WORDS.get(sequence[1], sequence[1])}s{' or null' if sequence[2] else ''}"
    return f"`{kind}`".replace("|", "\\|")


def default_in_words(value: Any) -> str:
    """Return a default as a configuration would have it."""
    if value is None or isinstance(value, bool):
        return "null" if value is None else str(value).lower()
    if isinstance(value, tuple | list):
        return f"`[{', '.join(map(str, value))}]`"
    return "required" if value == "required" else f"`{value:g}`" if isinstance(value, float) else f"`{value}`"


def table_of(recipe: type[Any]) -> list[str]:
    """Return the lines of a plugin's table.

    Raises:
        LookupError: an option has no meaning in the docstring.
    """
    options, texts = describe(recipe), meanings(recipe)
    if missing := sorted(set(options) - set(texts)):
        raise LookupError(f"{recipe.__qualname__}: say in `Attributes:` what {', '.join(missing)} means")
    if not options:
        return ["No options."]
    rows = [
        (
            f"`{name}`",
            type_in_words(facts["type"], recipe),
            default_in_words(facts["default"]),
            _cell(texts[name]),
        )
        for name, facts in options.items()
    ]
    head = ["| option | type | default | meaning |", "|---|---|---|---|"]
    return [*head, *(f"| {' | '.join(row)} |" for row in rows)]


def _cell(text: str) -> str:
    """Return a meaning for a cell of a table, in the words of a configuration."""
    return re.sub(r"\bNone\b", "null", text.rstrip(".")).replace("|", "\\|")


def _recipes(title: str, kind: Kind) -> Iterator[tuple[str, type[Any]]]:
    inference = title.startswith("Inference")
    for name in plugins.names(kind):
        if "/" in name and kind == "attacks":
            continue  # those of libraries
        if plugins.distribution(kind, name) != "robench":
            continue  # of another package that happens to be installed
        recipe = plugins.find(kind, name)
        if kind != "defenses" or inference == (getattr(recipe.info, "stage", "") == "inference"):
            yield name, recipe


def _section(title: str, text: str, recipes: Mapping[str, type[Any]]) -> list[str]:
    alike: dict[str, list[str]] = {}
    for name, recipe in recipes.items():
        alike.setdefault("\n".join(table_of(recipe)), []).append(name)
    lines = [f"## {title}", "", text, ""]
    for table, names in alike.items():
        lines += [f"### {', '.join(names)}", ""]
        facts = [(name, summary(recipes[name]), recipes[name].info.paper) for name in names]
        lines += [
            f"{f'- `{name}`: ' if len(names) > 1 else ''}{sentence}{f' {paper}.' if ':' in paper else ''}"
            for name, sentence, paper in facts
        ]
        lines += ["", table, ""]
    return lines


def page() -> str:
    """Return the page."""
    lines = [INTRODUCTION]
    for title, kind, text in SECTIONS:
        lines += _section(title, text, dict(_recipes(title, kind)))
        if title == "Attacks":
            lines += _section("Bounds", "`threats: bounds:` takes these ([bounds.md](bounds.md)).", METHODS)
    return "\n".join(lines).rstrip() + "\n"
