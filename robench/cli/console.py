"""Where output goes: results to stdout, everything about the run to stderr; plain text when piped."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

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
    return "".join(s if s.isprintable() or s == "\n" else repr(s)[1:-1] for s in text)
