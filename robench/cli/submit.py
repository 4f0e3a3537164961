"""`robench submit RUN`: one small file with which others put a run on their board."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from robench.cli.console import one_line
from robench.cli.leaderboard import check_runs
from robench.errors import ConfigError


def submit(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Run folder.")],
    out: Annotated[
        Path | None, typer.Option("-o", "--out", help="File to write, by default RUN.zip in this folder.")
    ] = None,
) -> None:
    """Pack a run into one small file for `robench board`: records, cards, images that broke each model."""
    from robench.intake.limits import size_text
    from robench.record.submission import write_submission

    check_runs([run])
    path = out or Path(f"{run.resolve().name}.zip")
    if path.suffix != ".zip":
        raise ConfigError(where="--out", expected="a name that ends in .zip", got=repr(path.name))
    size = write_submission(run, path)
    typer.echo(one_line(f"Written: {path}, {size_text(size)}; `robench board {path}` shows it"))
