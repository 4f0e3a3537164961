"""Carries out a plan in a folder, by the processes of the options: shared by `run`, `eval` and `rerun`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from robench.cli.options import Options
from robench.cli.session import interruptible

if TYPE_CHECKING:
    from robench.cli.run_log import RunLog
    from robench.plan.spec import Plan
    from robench.run.outcome import Outcome
    from robench.run.progress import Reporter
    from robench.run.settings import Request


def outcome_of(
    plan: Plan,
    text: str,
    folder: Path,
    options: Options,
    *,
    request: Request,
    leave: Callable[[], object] | None = None,
    log: RunLog | None = None,
) -> Outcome:
    """Carry out a plan and return the outcome; after Ctrl-C or a signal it can be resumed.

    Args:
        plan: what is done.
        text: the configuration it was read from, kept verbatim.
        folder: where records are kept.
        options: of the command.
        request: what the user typed and asked for, kept in the run's summary.
        leave: is called where it was interrupted, before the command ends.
        log: gets numbers as they come.

    Raises:
        RobenchError: the plan cannot be done here, or writing to disk failed.
        Exit: it was interrupted.
    """
    processes = options.processes

    def work(reporter: Reporter) -> Outcome:
        from robench.run.execute import execute

        return execute(
            plan,
            folder,
            config_text=text,
            environment=options.environment,
            reporter=reporter,
            request=request,
            engine=options.engine,
            processes=processes,
        )

    stop = processes.stop if processes else None
    return interruptible(
        work, folder, quiet=options.quiet, threads=options.threads, stop=stop, leave=leave, log=log
    )
