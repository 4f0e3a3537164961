"""`robench leaderboard`: the boards of one or several runs; unlike settings never share a board."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from robench.errors import ConfigError

if TYPE_CHECKING:
    from robench.record import Record

Format = Literal["text", "md", "csv", "json", "tex"]
_PLUGINS = {"md": "markdown", "csv": "csv", "json": "json", "tex": "latex"}


def leaderboard(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Run folders.")],
    format: Annotated[Format, typer.Option("--format", help="text, md, csv, json or tex.")] = "text",
    out: Annotated[Path | None, typer.Option("-o", "--out", help="Write to this file.")] = None,
    details: Annotated[bool, typer.Option("--details", help="Show gradient sources one by one.")] = False,
) -> None:
    """Show the leaderboard of run folders; runs share a board only where images and threat are the same."""
    from robench import plugins
    from robench.files import write_atomic

    records = read_runs(runs)
    if format != "text":
        text: str = plugins.find("reports", _PLUGINS[format])().render(records)
    elif out is None:
        from robench.cli.console import output

        console = output()
        for shown in plugins.find("reports", "screen")(details=details)(records):
            console.print(shown)
        return
    else:
        from io import StringIO

        from rich.console import Console

        stream = StringIO()
        console = Console(file=stream, width=200, no_color=True)
        for shown in plugins.find("reports", "screen")(details=details)(records):
            console.print(shown)
        text = stream.getvalue()
    if out is None:
        typer.echo(text, nl=False)
    else:
        write_atomic(out, text)
        typer.echo(f"Written: {out}")


def read_runs(runs: list[Path]) -> list[Record]:
    """Return the records of run folders.

    Raises:
        ConfigError: a folder is no run, or none of them has a finished unit.
    """
    from robench.store import Store, is_run

    records: list[Record] = []
    for run in runs:
        if not is_run(run):
            do = "Name the folder that `robench run` printed last"
            raise ConfigError(where=str(run), expected="a run folder", got="no `units` in it", do=do)
        records += Store(run).read_records()
    if not records:
        raise ConfigError(expected="at least one finished unit", got="none", do="Run `robench run` first")
    return records
