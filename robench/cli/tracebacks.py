"""`--traceback`: whether it is set, and the places of errors in the failed jobs of a run folder."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from robench.cli.console import one_line, printable

if TYPE_CHECKING:
    from robench.record.error_account import ErrorAccount

TRACEBACK = "ROBENCH_TRACEBACK"
"""Variable of the environment that the option sets, so that every part of a command sees it."""


def is_asked_for() -> bool:
    """Tell whether tracebacks should be shown."""
    return os.environ.get(TRACEBACK, "") not in {"", "0"}


def traceback_in(account: ErrorAccount) -> str:
    """Return where a job failed, by its account; for foreign errors the account's text contains it."""
    text = str(account.get("traceback") or "")
    error = str(account.get("error") or "")
    return text or (error if "Traceback (most recent call last)" in error else "")


def tracebacks_in(folder: Path) -> str:
    """Return the tracebacks of all failed jobs of a run folder, each under the title of its job."""
    from robench.record.store import Store

    parts = []
    for key, account in Store(folder).read_errors().items():
        if text := traceback_in(account):
            parts.append(f"{one_line(str(account.get('job', key)))}:\n{printable(text.rstrip())}\n")
    return "\n".join(parts)
