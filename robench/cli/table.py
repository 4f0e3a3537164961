"""`robench table`: a published table with our number, the published one and the difference."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from robench.cli.guard import printable

Format = Literal["text", "md", "csv", "json", "tex"]


def table(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Run folders.")],
    paper: Annotated[
        str,
        typer.Option("--paper", metavar="N", help="Number of the table, 2 to 11; all that fit if absent."),
    ] = "",
    format: Annotated[Format, typer.Option("--format", help="text, md, csv, json or tex.")] = "text",
    out: Annotated[Path | None, typer.Option("-o", "--out", help="Write to this file.")] = None,
) -> None:
    """Show tables of Wang & Osher 2019 with our numbers, the published ones and the difference."""
    from robench import plugins
    from robench.record.files import write_atomic

    recipe = plugins.find("reports", "paper", where="robench table")
    if format == "text" and out is None:
        from robench.cli.console import output

        console = output()
        for shown in recipe(table=paper).on_screen(runs):
            console.print(shown)
        return
    text = recipe(table=paper, format="md" if format == "text" else format).render_runs(runs)
    if out is None:
        typer.echo(text, nl=False)
    else:
        write_atomic(out, text)
        typer.echo(printable(f"Written: {out}"))
