"""`robench list`: what is installed, by kind, without importing anything heavy."""

from __future__ import annotations

import json
import shutil
import sys
import textwrap
from typing import Annotated, Literal, get_args

import typer

from robench.cli.console import printable
from robench.errors import ConfigError, RobenchError, nearest

Format = Literal["text", "json"]
Listed = Literal["attacks", "defenses", "models", "heads", "datasets", "reports", "figures"]
KINDS: tuple[Listed, ...] = get_args(Listed)
SUITES = "suites"
OURS = "robench"
NEEDS = {"gradient": "gradients", "score": "scores", "decision": "labels"}
"""The knowledge of an attack about a model, in one word."""
NEEDS_WIDTH = max(map(len, NEEDS.values()))


def list_plugins(
    kind: Annotated[
        str | None,
        typer.Argument(help="attacks, defenses, models, heads, datasets, reports, figures or suites."),
    ] = None,
    keyword: Annotated[str, typer.Option("-k", help="Show only entries with this text.")] = "",
    format: Annotated[Format, typer.Option("--format", help="text or json.")] = "text",
) -> None:
    """List attacks, defenses, models, heads, data sets, reports, figures and suites."""
    kinds = (*KINDS, SUITES)
    if kind is not None and kind not in kinds:
        expected = "a kind of thing to list"
        raise ConfigError(where="robench list", expected=expected, got=repr(kind), do=nearest(kind, kinds))
    entries = [e for k in kinds if kind in {None, k} for e in _entries(k) if _matches(e, keyword)]
    if format == "json":
        typer.echo(json.dumps(entries, indent=1))
        return
    title = ""
    width = max((len(entry["name"]) for entry in entries), default=0)
    norms = max((len(entry.get("norms", "")) for entry in entries), default=0)
    for entry in entries:
        if entry["kind"] != title:
            typer.echo(f"{'' if not title else chr(10)}{entry['kind']}")
            title = entry["kind"]
        for line in _lines(entry, width, norms, _columns()):
            typer.echo(printable(line))
    if not entries:
        typer.echo("Nothing matches.")


def _lines(entry: dict[str, str], width: int, norms: int, columns: int) -> list[str]:
    """Return an entry in one line; in several if it is wider than the terminal.

    Args:
        entry: the entry of the list.
        width: width of the names.
        norms: width of the norms; 0 if no entry has any.
        columns: width of the terminal; 0 for no limit.
    """
    owner = "" if entry["from"] == OURS else f"  (from {entry['from']})"
    first, text = f"  {entry['name']:<{width}}", f"{entry['summary']}{owner}"
    if "norms" in entry:
        first += f"  {entry['norms']:<{norms}}  {entry['needs']:<{NEEDS_WIDTH}}"
        text = f"{text} {entry['paper']}".strip()
        if entry.get("lacks"):
            text += f" ({entry['lacks']} is not installed: `robench show {entry['name']}`)"
    if not columns or len(first) + 2 + len(text) <= columns:
        return [f"{first}  {text}"]
    return [first.rstrip(), *textwrap.wrap(text, columns, initial_indent=" " * 6, subsequent_indent=" " * 6)]


def _columns() -> int:
    """Return the width of the terminal; 0 if the output is not a terminal: a line for each entry."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else 0


def _entries(kind: str) -> list[dict[str, str]]:
    if kind == SUITES:
        return [_suite(name) for name in _suites()]
    from robench import plugins

    return [_plugin(k, name) for k in KINDS if k == kind for name in plugins.names(k)]


def _suites() -> list[str]:
    from robench.plan.config import suites

    return suites()


def _suite(name: str) -> dict[str, str]:
    from robench.plan.config import locate

    first = locate(name).read_text("utf-8").split("\n", maxsplit=1)[0]
    return {"kind": SUITES, "name": name, "summary": first.lstrip("# "), "paper": "", "from": OURS}


def _plugin(kind: Listed, name: str) -> dict[str, str]:
    from robench import plugins

    entry = {"kind": kind, "name": name, "summary": "", "paper": "", "from": plugins.distribution(kind, name)}
    try:
        summary, paper = plugins.brief(kind, name)
        entry |= {"summary": summary, "paper": paper}
        if kind == "attacks":
            facts = plugins.facts(name)
            smallest = ", smallest" if facts.smallest else ""
            entry |= {"norms": ", ".join(facts.norms) + smallest, "needs": NEEDS[facts.knowledge]}
            entry["lacks"] = facts.lacks
    except RobenchError as error:
        entry["summary"] = f"cannot be loaded: {error}"
    except Exception as error:  # noqa: BLE001 - one broken plugin, whatever it raises, must not hide the others
        entry["summary"] = f"cannot be used: {type(error).__name__}: {error}"
    return entry


def _matches(entry: dict[str, str], keyword: str) -> bool:
    return any(keyword.lower() in text.lower() for text in entry.values())
