"""`robench verify RUN`: check hashes, verdicts and repetition of a run; exit code 1 if one does not hold."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from robench.cli.console import one_line
from robench.cli.leaderboard import check_runs
from robench.cli.options import Options, check_device, taking
from robench.cli.session import use_machine
from robench.plurals import counted

if TYPE_CHECKING:
    from robench.audit.run_rejudgement import Check
    from robench.record.store import Store

FAILED = 1


@taking("device", "data_root", "download", "threads", "trust_code", "quiet")
def verify(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Run folder.")],
    sample: Annotated[int, typer.Option("--sample", min=1, help="Jobs to do again from the start.")] = 3,
    batch_size: Annotated[
        int, typer.Option("--batch-size", min=1, help="Images per pass of the new judgement.")
    ] = 97,
    seed: Annotated[int, typer.Option("--seed", min=0, help="For the choice of the sample.")] = 0,
    *,
    options: Options,
) -> None:
    """Verify a run: files, tables, hashes, verdicts on the stored images, and a sample of jobs done again."""
    check_runs([run])
    check_device(options.device)
    from robench.audit.verify import MODELS, UNITS
    from robench.audit.verify import verify as checks
    from robench.cli.reporters import FailuresOnly
    from robench.record.store import Store

    use_machine(options.threads or _recorded_threads(Store(run)))
    failures, lack = 0, None
    for check in checks(
        Store(run),
        environment=options.environment.resolved(),
        sample=sample,
        batch_size=batch_size,
        seed=seed,
        reporter=FailuresOnly(),
    ):
        if check.name in (UNITS, MODELS):
            lack = lack or check
        else:
            failures += not check.holds
        if not options.quiet or not check.holds:
            typer.echo(one_line(_line(check)))
    typer.echo(one_line(f"{run}: {_judgement(failures, lack)}"))
    if failures or lack:
        raise typer.Exit(FAILED)


def _recorded_threads(store: Store) -> int | None:
    """Return the number of threads of a run, on which the bits of graph heads depend; None if unknown."""
    threads = store.facts()[0].get("threads")
    return threads if isinstance(threads, int) and 1 <= threads <= (os.cpu_count() or 1) else None


def _judgement(failures: int, lack: Check | None) -> str:
    """Say whether a run holds; if units are missing, also how many are finished."""
    holds = "does NOT hold" if failures else "holds"
    if lack is None:
        return holds
    if not lack.looked:
        return "does NOT hold" if failures else "no unit is finished, so there is nothing to verify"
    return f"incomplete, {_finished(lack)}; what is there {holds}"


def _finished(lack: Check) -> str:
    """Say how many units are finished, or how many models were made."""
    if lack.name == "models":
        return f"{lack.looked} of {counted(lack.looked + lack.missing, 'model')} made"
    return f"{lack.looked} of {counted(lack.looked + lack.missing, 'unit')} finished"


def _line(check: Check) -> str:
    if check.missing:
        count = _finished(check) if check.looked else "none finished"
        return f"FAILED {check.name:<9} {count}: {check.evidence}"
    word = "ok    " if check.holds else "FAILED"
    allowance = f" (up to {check.allowed} may)" if check.allowed else ""
    tail = f": {check.evidence}" if check.evidence else ""
    return f"{word} {check.name:<9} {check.looked} looked at, {check.wrong} differ{allowance}{tail}"
