"""The command line. Nothing here imports torch, pandas or scipy before a command needs them.

A file for each command; `commands` lists them, and imports the one that is called. Options that commands
share: `option_types` and `options`; a plan carried out and printed: `run_and_report`; what is told while it
goes on: `reporters`; interruption: `signals` and `session`; where code of a user's failed: `tracebacks`.
"""

from __future__ import annotations

import os
import sys

INTERRUPTED = 130


def _interrupted() -> SystemExit:
    """Say that Ctrl-C came before the command could handle it, and return the exit code."""
    sys.stderr.write("error: Interrupted.\n")
    return SystemExit(INTERRUPTED)


try:  # this line takes the first third of a second of every command
    from robench.cli.app import app
    from robench.machine import WAITING_THREADS
except KeyboardInterrupt:
    raise _interrupted() from None


def main() -> None:
    """Run the command line and exit with its code.

    0: done. 1: a gate failed. 2: usage or configuration, nothing was run. 3: some jobs failed, the rest is
    saved. 4: disk or internal error. 130, 143: interrupted, finished work is saved.
    """
    os.environ |= WAITING_THREADS | os.environ  # before a command loads torch
    try:
        app(prog_name="robench")
    except KeyboardInterrupt:
        raise _interrupted() from None


__all__ = ["app", "main"]
