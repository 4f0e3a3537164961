"""Where output goes: results to stdout, everything about the run to stderr; plain text when piped."""

from __future__ import annotations

import logging
import os
import sys
import warnings
from typing import TYPE_CHECKING, Any

from robench.visible_text import visible

if TYPE_CHECKING:
    from rich.console import Console

PIPED_WIDTH = 200


def output() -> Console:
    """Return the console for results. rich itself honours NO_COLOR and leaves colours out of a pipe."""
    from rich.console import Console

    # A pipe has no width; rich would assume 80 and break tables.
    wide = not sys.stdout.isatty() and "COLUMNS" not in os.environ
    return Console(width=PIPED_WIDTH if wide else None, highlight=False, soft_wrap=False)


def errors() -> Console:
    """Return the console for messages, progress and errors."""
    from rich.console import Console

    return Console(stderr=True, highlight=False)


def printable(text: str) -> str:
    """Return text without control characters other than line breaks, so that no name drives the terminal."""
    return visible(text, keep="\n")


def one_line(text: str) -> str:
    """Return text as one line without control characters, so that no name writes a line of its own."""
    return visible(text)


def clean_warnings() -> None:
    """Let warnings and log messages of this process too reach the terminal as `printable` text only."""
    global _told  # noqa: PLW0603 - of the process, as what it changes
    if _told:
        return
    _told = True
    plain = warnings.formatwarning

    def format_warning(*args: Any, **kwargs: Any) -> str:
        return printable(plain(*args, **kwargs))

    warnings.formatwarning = format_warning
    if logging.lastResort is not None:  # what prints the messages of a process that set up no logging
        logging.lastResort.setFormatter(_Printable())


class _Printable(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return printable(super().format(record))


_told = False
