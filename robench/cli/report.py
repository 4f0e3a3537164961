"""`robench report`: the HTML page and the model cards of a run folder, made again from the folder alone."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from robench.cli.guard import printable


def report(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder.")],
    out: Annotated[
        Path | None, typer.Option("-o", "--out", help="File to write, by default RUN/report.html.")
    ] = None,
) -> None:
    """Write the HTML report and the model cards of a run folder; damaged files are listed on the page."""
    from robench import plugins
    from robench.record.files import write_atomic

    text: str = plugins.find("reports", "html", where="robench report")().render_run(run)
    path = out or run / "report.html"
    write_atomic(path, text)
    typer.echo(printable(f"Written: {path}"))
    if out is None:
        for cards in plugins.find("reports", "cards", where="robench report")().write_run(run):
            typer.echo(printable(f"Written: {cards}"))
