"""The command line. Nothing here imports torch, pandas or scipy before a command needs them.

A file for each command. Options that commands share: `option_types` and `options`; a plan carried out and
printed: `run_and_report`; what is told while it goes on: `reporters`; interruption: `signals` and
`session`.
"""

from __future__ import annotations

from robench.cli.app import app


def main() -> None:
    """Run the command line and exit with its code.

    0: done. 1: a gate failed. 2: usage or configuration, nothing was run. 3: some jobs failed, the rest is
    saved. 4: disk or internal error. 130, 143: interrupted, finished work is saved.
    """
    app(prog_name="robench")


__all__ = ["app", "main"]
