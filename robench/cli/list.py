"""`robench list`: what is installed, by kind, without importing anything heavy."""

from __future__ import annotations

import json
from typing import Annotated, Literal, get_args

import typer

from robench.cli.console import printable
from robench.errors import ConfigError, RobenchError, nearest

Format = Literal["text", "json"]
Listed = Literal["attacks", "defenses", "models", "heads", "datasets", "reports", "figures"]
KINDS: tuple[Listed, ...] = get_args(Listed)
SUITES = "suites"
OURS = "robench"


def list_plugins(
    kind: Annotated[
        str | None,
        typer.Argument(help="attacks, defenses, models, heads, datasets, reports, figures or suites."),
    ] = None,
    keyword: Annotated[str, typer.Option("-k", help="Show only entries with this text.")] = "",
    format: Annotated[Format, typer.Option("--format", help="text or json.")] = "text",
) -> None:
    """List attacks, defenses, models, heads, data sets, reports, figures and suites."""
    known = (*KINDS, SUITES)
    if kind is not None and kind not in known:
        expected = "a kind of thing to list"
        raise ConfigError(where="robench list", expected=expected, got=repr(kind), do=nearest(kind, known))
    entries = [e for k in known if kind in {None, k} for e in _entries(k) if _matches(e, keyword)]
    if format == "json":
        typer.echo(json.dumps(entries, indent=1))
        return
    title = ""
    width = max((len(entry["name"]) for entry in entries), default=0)
    for entry in entries:
        if entry["kind"] != title:
            typer.echo(f"{'' if not title else chr(10)}{entry['kind']}")
            title = entry["kind"]
        owner = "" if entry["from"] == OURS else f"  (from {entry['from']})"
        line = f"  {entry['name']:<{width}}  {entry['summary']}{owner}"
        typer.echo(printable(line))
    if not entries:
        typer.echo("Nothing matches.")


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
    except RobenchError as error:
        entry["summary"] = f"cannot be loaded: {error}"
    except Exception as error:  # noqa: BLE001 - one broken plugin, whatever it raises, must not hide the others
        entry["summary"] = f"cannot be used: {type(error).__name__}: {error}"
    return entry


def _matches(entry: dict[str, str], keyword: str) -> bool:
    return any(keyword.lower() in text.lower() for text in entry.values())
