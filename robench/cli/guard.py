"""Every command runs inside this group: errors become one clear message and an exit code."""

from __future__ import annotations

import os
import sys
import traceback
from typing import Any

import typer
from typer.core import TyperGroup

from robench.cli.console import errors, printable
from robench.cli.tracebacks import is_asked_for
from robench.errors import RobenchError

INTERNAL = 4
INTERRUPTED = 130


class Terminated(KeyboardInterrupt):
    """A signal came: leave as on Ctrl-C, with another exit code.

    Args:
        exit_code: 128 plus the number of the signal.
    """

    def __init__(self, exit_code: int = 143) -> None:
        self.exit_code = exit_code
        super().__init__()


class Guard(TyperGroup):
    """The group of all commands; the one place where an exception ends."""

    _has_begun = False

    def main(self, *args: Any, **options: Any) -> Any:
        """Run the command line; at a Ctrl-C before a command is chosen typer exits without a message."""
        try:
            return super().main(*args, **options)
        except SystemExit as leaving:
            if leaving.code == INTERRUPTED and not self._has_begun:
                _say("Interrupted.")
            raise

    def invoke(self, ctx: Any) -> Any:
        """Run the chosen command and turn its exceptions into an exit code."""
        self._has_begun = True
        try:
            return super().invoke(ctx)
        except RobenchError as error:
            _show_traceback()
            _say(str(error))
            raise typer.Exit(error.exit_code) from None
        except KeyboardInterrupt as error:
            _say("Interrupted.")
            raise typer.Exit(getattr(error, "exit_code", INTERRUPTED)) from None
        except BrokenPipeError:
            # The reader (`| head`) has enough; a flush at exit must not complain either.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(0) from None
        except RuntimeError as error:
            # typer's own Exit and Abort are RuntimeErrors, which typer handles.
            if isinstance(error, typer.Exit | typer.Abort):
                raise
            raise _unexpected(error) from None
        except Exception as error:
            if hasattr(error, "format_message"):  # a usage error, which typer shows with its help
                raise
            raise _unexpected(error) from None


def _unexpected(error: Exception) -> typer.Exit:
    with_traceback = _show_traceback()
    what = f"{type(error).__name__}: {error}".strip()
    kind = "Disk error" if isinstance(error, OSError) else "Internal error, please report it"
    hint = "" if with_traceback else " Run again with `robench --traceback ...` to see where."
    _say(f"{kind}: {what}.{hint}")
    return typer.Exit(INTERNAL)


def _show_traceback() -> bool:
    if not is_asked_for():
        return False
    sys.stderr.write(traceback.format_exc())
    return True


def _say(text: str) -> None:
    from rich.text import Text

    message = Text("error: ", style="bold red")
    message.append(printable(text), style="not bold default")
    errors().print(message, soft_wrap=True)
