"""Where output goes: results to stdout, everything about the run to stderr; plain text when piped."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, TextIO

from robench.visible_text import visible

if TYPE_CHECKING:
    from rich.console import Console

PIPED_WIDTH = 200


def output() -> Console:
    """Return the console for results. rich itself honours NO_COLOR and leaves colours out of a pipe."""
    from rich.console import Console

    # A pipe has no width; rich would assume 80 and break tables.
    if sys.stdout.isatty():
        return Console(highlight=False, soft_wrap=False)
    stream: Any = Unpadded(sys.stdout)
    width = None if "COLUMNS" in os.environ else PIPED_WIDTH
    return Console(file=stream, width=width, highlight=False, soft_wrap=False)


def errors() -> Console:
    """Return the console for messages, progress and errors."""
    from rich.console import Console

    stream: Any = LastingErrors()
    return Console(file=stream, highlight=False)


class Unpadded:
    """A stream without the spaces with which rich fills lines.

    Args:
        stream: gets the whole lines.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._line = ""

    def write(self, text: str) -> int:
        """Write the complete lines, without spaces at their ends."""
        *lines, self._line = (self._line + text).split("\n")
        self._stream.write("".join(f"{line.rstrip(' ')}\n" for line in lines))
        return len(text)

    def flush(self) -> None:
        """Write what waits."""
        self._stream.write(self._line)
        self._line = ""
        self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        """Return any other attribute of the stream."""
        return getattr(self._stream, name)


class LastingErrors:
    """Standard error for work that continues when its reader has ended.

    If a terminal is closed, or a `| head` has read enough, only the lines are lost: later output to standard
    error is discarded.
    """

    def write(self, text: str) -> int:
        """Write text."""
        self._do(lambda: _stderr().write(text))
        return len(text)

    def flush(self) -> None:
        """Write what waits."""
        self._do(lambda: _stderr().flush())

    def __getattr__(self, name: str) -> Any:
        """Return any other attribute of standard error."""
        return getattr(_stderr(), name)

    def _do(self, act: Callable[[], object]) -> None:
        try:
            act()
        except OSError:
            with contextlib.suppress(OSError, ValueError):  # ValueError: it is not a file
                nowhere = os.open(os.devnull, os.O_WRONLY)
                os.dup2(nowhere, _stderr().fileno())
                os.close(nowhere)


def _stderr() -> Any:
    """Return standard error itself, also while rich shows bars and replaces it."""
    return getattr(sys.stderr, "rich_proxied_file", sys.stderr)


@contextlib.contextmanager
def unread() -> Iterator[None]:
    """Inside the block, if the reader ends (`| head`), only the printing of results stops."""
    try:
        yield
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # a flush at exit must not complain


def printable(text: str) -> str:
    """Return text without control characters except line breaks, so that names cannot control a terminal."""
    return visible(text, keep="\n")


def one_line(text: str) -> str:
    """Return text as one line without control characters, so that a name cannot write a separate line."""
    return visible(text)


def clean_warnings() -> None:
    """Print warnings and log messages of this process as `printable` text too."""
    global _told  # noqa: PLW0603 - of the process, as what it changes
    if _told:
        return
    _told = True
    plain = warnings.formatwarning

    def format_warning(*args: Any, **kwargs: Any) -> str:
        return printable(plain(*args, **kwargs))

    warnings.formatwarning = format_warning
    if logging.lastResort is not None:  # prints messages if the process has not configured logging
        logging.lastResort.setFormatter(_Printable())


class _Printable(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return printable(super().format(record))


_told = False
