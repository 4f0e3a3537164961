"""`robench merge PART...`: the parts of one plan, run with `--shard`, become one run folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from robench.cli.console import one_line
from robench.plurals import counted


def merge(
    parts: Annotated[list[Path], typer.Argument(metavar="PART...", help="Run folders of one plan.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="The run folder to make.")],
) -> None:
    """Bring the parts of one plan together; `robench run` on the new folder finishes and reports it."""
    from robench.record.merging import check_parts
    from robench.record.merging import merge as bring_together
    from robench.run.workers.leases import Leases

    check_parts(parts, out)  # before the lease, which creates the folder
    with Leases(out / "leases").joined("", alone=True):
        result = bring_together(parts, out)
    whole = f" of {result.expected}" if result.expected else ""
    twice = f" ({result.twice} were in several parts, all alike)" if result.twice else ""
    typer.echo(
        f"{result.records}{whole} records of {counted(len(parts), 'part')}{twice}: {one_line(str(out))}"
    )
    typer.echo("The same `robench run` without --shard, on this folder, does what is missing and reports.")
