"""`robench cite`: BibTeX of every attack, defense, head, network and data set of some runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from robench.cli.guard import printable


def cite(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Run folders.")],
    out: Annotated[Path | None, typer.Option("-o", "--out", help="Write to this file.")] = None,
) -> None:
    """Print BibTeX of every attack, defense, head, network and data set that runs used."""
    from robench import plugins
    from robench.cli.leaderboard import check_runs
    from robench.record.files import write_atomic

    check_runs(runs)
    text: str = plugins.find("reports", "bibtex", where="robench cite")().render_runs(runs)
    if out is None:
        typer.echo(text, nl=False)
    else:
        write_atomic(out, text)
        typer.echo(printable(f"Written: {out}"))
