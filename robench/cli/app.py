"""The typer application: global options and every command."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from robench.cli.board import board
from robench.cli.certify import certify
from robench.cli.check import check
from robench.cli.compare import compare
from robench.cli.console import clean_warnings
from robench.cli.doctor import doctor
from robench.cli.documents import badge, cite, plot, report, table
from robench.cli.eval import evaluate_one
from robench.cli.export import export
from robench.cli.guard import TRACEBACK, Guard
from robench.cli.leaderboard import leaderboard
from robench.cli.list import list_plugins
from robench.cli.merge import merge
from robench.cli.optimality import optimality
from robench.cli.parity import parity
from robench.cli.rerun import rerun
from robench.cli.run import run
from robench.cli.show import show
from robench.cli.submit import submit
from robench.cli.train import train
from robench.cli.verify import verify

app = typer.Typer(
    cls=Guard,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Adversarial robustness numbers that can be believed, for softmax and WNLL classifiers.",
    epilog="Exit codes: 0 done, 1 a gate failed, 2 usage or configuration, 3 some jobs failed and the rest "
    "is saved, 4 disk or internal, 130/138/143 interrupted with finished work saved.",
)


def _version(wanted: bool) -> None:
    if wanted:
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


app.command()(run)
app.command("eval")(evaluate_one)
app.command()(train)
app.command()(merge)
app.command()(rerun)
app.command("list")(list_plugins)
app.command()(show)
app.command()(check)
app.command()(certify)
app.command()(leaderboard)
app.command()(optimality)
app.command()(board)
app.command()(submit)
app.command()(compare)
app.command()(verify)
app.command()(parity)
app.command()(plot)
app.command()(table)
app.command()(cite)
app.command()(badge)
app.command()(report)
app.command()(export)
app.command()(doctor)
