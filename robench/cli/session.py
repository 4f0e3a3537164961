"""The work of a command: with progress, interruption without loss, and a summary in its last lines."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import typer

from robench.cli.console import printable, unread
from robench.cli.pace import rate, span
from robench.cli.signals import noted, raised
from robench.cli.tracebacks import is_asked_for, tracebacks_in
from robench.plurals import counted

if TYPE_CHECKING:
    from robench.cli.run_log import RunLog
    from robench.run.outcome import Outcome
    from robench.run.progress import Reporter
    from robench.run.workers.stop import Stop

SOME_FAILED = 3
Result = TypeVar("Result")


def use_machine(threads: int | None) -> None:
    """Set up this process for work: reuse of freed memory, and the number of threads."""
    from robench.machine import keep_freed_memory

    keep_freed_memory()
    if threads:
        import torch

        torch.set_num_threads(threads)


def interruptible(
    work: Callable[[Reporter], Result],
    folder: Path,
    *,
    quiet: bool,
    threads: int | None,
    stop: Stop | None = None,
    leave: Callable[[], object] | None = None,
    log: RunLog | None = None,
) -> Result:
    """Do the work with a reporter; after an interruption say what is saved and how to continue.

    Args:
        work: what to do.
        folder: where finished work is kept.
        quiet: no progress.
        threads: CPU threads of this process; None leaves that to torch.
        stop: asks work in other processes to stop; None if the work is done in this process.
        leave: called after a stop for which running units were finished, for example to write reports.
        log: gets the numbers during the work.
    """
    from robench.cli.reporters import reporter_for

    if stop is None:
        use_machine(threads)
    reporter = reporter_for(quiet=quiet)
    if log:
        from robench.cli.logged import Logged

        reporter = Logged(reporter, log)
    try:
        with noted(stop) if stop else raised():
            return work(reporter)
    except KeyboardInterrupt as error:
        reporter.close()
        if leave and stop and not stop.now:
            leave()
        again = shlex.join(["robench", *sys.argv[1:]])
        rest = f"Finished work is saved in {printable(str(folder))}"
        rest = rest if folder.exists() else "Nothing was begun"
        typer.echo(f"Interrupted. {rest}", err=True)
        typer.echo(f"Resume with: {printable(again)}", err=True)
        raise typer.Exit(getattr(error, "exit_code", 130)) from None
    finally:
        reporter.close()


def finish(
    outcome: Outcome,
    noun: str,
    paths: list[Path],
    *,
    folder: Path,
    doubt: str = "",
    quiet: bool = False,
    err: bool = False,
    label: str = "Report",
) -> None:
    """Print the three last lines: what happened, how long it took, where report or files lie.

    A quiet command prints only the first line.

    Args:
        outcome: the result of the work.
        noun: name of the counted units, in the singular.
        paths: the written files, the most important first.
        folder: the run folder; its `errors` has the reasons of failed jobs and trainings.
        doubt: whether the numbers are reliable; empty without numbers.
        quiet: print the first line only.
        err: print them on stderr, as stdout is for a program.
        label: name of the files.
    """
    if outcome.failed:  # before the last lines, so that these stay the last
        reasons = folder / "errors"
        if not any(reasons.glob("*")):  # for example if the run was killed before it wrote them
            reasons = folder / "run.json"
        if is_asked_for() and (places := tracebacks_in(folder)):
            typer.echo(places, err=True)
        typer.echo(f"Why jobs failed: {printable(str(reasons))}", err=True)
    with unread():
        _tell(outcome, noun, [] if quiet else paths, doubt, label=label, err=err)
    if outcome.failed:
        raise typer.Exit(SOME_FAILED)


def _tell(outcome: Outcome, noun: str, paths: list[Path], doubt: str, *, label: str, err: bool) -> None:
    """Print what happened and, if files are named, the time and their paths."""
    counts = f"{counted(outcome.finished, noun)} finished, {outcome.cached} cached, {outcome.failed} failed"
    typer.echo(counts + (f"; {doubt}." if doubt else "."), err=err)
    if not paths:
        return
    pace = ""
    if outcome.images and outcome.judging > 0:
        each_second = rate(outcome.images / outcome.judging)
        pace = f", {counted(outcome.images, 'image')} judged at {each_second} a second"
    typer.echo(f"Time: {span(outcome.seconds)}{pace}.", err=err)
    first, *rest = paths
    beside = [path.name if path.parent == first.parent else str(path) for path in rest]
    typer.echo(printable(f"{label}: {first}" + (f"; {', '.join(beside)}" if beside else "")), err=err)
