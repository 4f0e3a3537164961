"""`robench plot`: a figure of one or several runs, as SVG, PNG or PDF."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from robench.cli.guard import printable


def plot(
    figure: Annotated[str, typer.Argument(help="Which figure; `robench list figures`.")],
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Run folders.")],
    out: Annotated[
        Path | None, typer.Option("-o", "--out", help="File; .svg, .png or .pdf. By default FIGURE.svg.")
    ] = None,
    board: Annotated[
        str | None, typer.Option("--board", help="Text in the title of the board, such as 'Linf 0.3'.")
    ] = None,
) -> None:
    """Draw a figure of run folders; the suffix of the file chooses the format."""
    from robench import plugins
    from robench.cli.leaderboard import read_runs

    recipe = plugins.find("figures", figure, where="robench plot")()
    path = out or Path(f"{figure}.svg")
    if hasattr(recipe, "of_runs"):  # drawn from what only a folder holds, such as training histories
        path = recipe.of_runs(runs, path, board=board)
    else:
        path = recipe(read_runs(runs), path, board=board)
    typer.echo(printable(f"Written: {path}"))
