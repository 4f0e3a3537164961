"""The typer application: global options; the commands are in `commands`."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from robench.cli.commands import Commands
from robench.cli.console import clean_warnings
from robench.cli.tracebacks import TRACEBACK

app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Adversarial robustness numbers that can be believed, for softmax and WNLL classifiers.",
    epilog="Exit codes: 0 done, 1 a gate failed, 2 usage or configuration, 3 some jobs failed and the rest "
    "is saved, 4 disk or internal, 130/138/143 interrupted with finished work saved.",
)


def _version(flag: bool) -> None:
    if flag:
        from robench import __version__

        typer.echo(f"robench {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
    traceback: Annotated[
        bool, typer.Option("--traceback", help=f"Show where an error was raised ({TRACEBACK}=1).")
    ] = False,
) -> None:
    """Measure how robust image classifiers are, and whether that number can be believed."""
    del version
    clean_warnings()
    if traceback:
        os.environ[TRACEBACK] = "1"
