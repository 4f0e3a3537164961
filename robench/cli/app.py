"""The typer application: global options and every command."""

from __future__ import annotations

import os
from collections.abc import Callable
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
from robench.cli.guard import Guard
from robench.cli.help_text import paragraphs
from robench.cli.leaderboard import leaderboard
from robench.cli.list import list_plugins
from robench.cli.merge import merge
from robench.cli.optimality import optimality
from robench.cli.paper import paper
from robench.cli.parity import parity
from robench.cli.rerun import rerun
from robench.cli.run import run
from robench.cli.show import show
from robench.cli.submit import submit
from robench.cli.tracebacks import TRACEBACK
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


MEASURE = "Measure"
READ = "Read and compare results"
SHARE = "Publish"
TRUST = "Check and prove"
KNOW = "What there is"

COMMANDS: dict[str, dict[str, Callable[..., None]]] = {
    MEASURE: {
        "run": run,
        "eval": evaluate_one,
        "train": train,
        "certify": certify,
        "paper": paper,
        "merge": merge,
    },
    TRUST: {
        "check": check,
        "verify": verify,
        "rerun": rerun,
        "parity": parity,
    },
    READ: {
        "leaderboard": leaderboard,
        "compare": compare,
        "plot": plot,
        "table": table,
        "report": report,
        "optimality": optimality,
    },
    SHARE: {
        "board": board,
        "submit": submit,
        "badge": badge,
        "cite": cite,
        "export": export,
    },
    KNOW: {
        "list": list_plugins,
        "show": show,
        "doctor": doctor,
    },
}
for panel, commands in COMMANDS.items():
    for name, command in commands.items():
        app.command(name, rich_help_panel=panel, help=paragraphs(command.__doc__ or ""))(command)
