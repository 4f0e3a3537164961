"""`robench submit RUN`: one small file with which others put a run on their board."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from robench.cli.console import one_line
from robench.cli.leaderboard import check_runs
from robench.errors import ConfigError
from robench.plurals import counted

MOST_TOLD = 5
"""Most rows listed in the warning."""


def submit(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Run folder.")],
    out: Annotated[
        Path | None, typer.Option("-o", "--out", help="File to write, by default RUN.zip in this folder.")
    ] = None,
) -> None:
    """Pack a run into one small file for `robench board`: records, cards, images that broke each model."""
    from robench.intake.limits import size_text
    from robench.record.completeness import missing_rows
    from robench.record.exchange.submission import write_submission
    from robench.record.store import Store

    check_runs([run])
    path = out or Path(f"{run.resolve().name}.zip")
    if path.suffix != ".zip":
        raise ConfigError(where="--out", expected="a name that ends in .zip", got=repr(path.name))
    size = write_submission(run, path)
    rows = missing_rows(Store(run).read_records())
    for setting, model, texts in rows[:MOST_TOLD]:
        typer.echo(one_line(f"warning: {setting}: {model}: missing {'; '.join(texts)}"), err=True)
    if rows:
        rest = f" and {counted(len(rows) - MOST_TOLD, 'other row')}" if len(rows) > MOST_TOLD else ""
        text = (
            f"warning: the plan of this run was not carried out in full: these{rest} get no rank on a board. "
            "The command of the run, given again, goes on with it"
        )
        typer.echo(one_line(text), err=True)
    typer.echo(one_line(f"Written: {path}, {size_text(size)}; `robench board {path}` shows it"))
