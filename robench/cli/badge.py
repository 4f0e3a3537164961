"""`robench badge`: one number of some runs as a small SVG, with interval, threat, n and doubts."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from robench.cli.guard import printable


def badge(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Run folders.")],
    model: Annotated[str, typer.Option("--model", help="Whose number; needed if there are several.")] = "",
    board: Annotated[
        str, typer.Option("--board", help="Text in the title of the board, such as 'Linf 0.3'.")
    ] = "",
    out: Annotated[Path, typer.Option("-o", "--out", help="File to write.")] = Path("badge.svg"),
) -> None:
    """Draw a badge of one model's headline; a doubted or partial number says so."""
    from robench import plugins
    from robench.cli.leaderboard import read_runs
    from robench.record.files import write_atomic

    recipe = plugins.find("reports", "badge", where="robench badge")
    write_atomic(out, recipe(model=model, board=board).render(read_runs(runs)))
    typer.echo(printable(f"Written: {out}"))
