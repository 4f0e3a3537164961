"""`robench rerun RUN`: repeat a run from what its folder says, and compare the two bit for bit."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from robench.cli.console import one_line
from robench.cli.execution import outcome_of
from robench.cli.options import Options, taking
from robench.cli.session import finish
from robench.errors import ConfigError

if TYPE_CHECKING:
    from robench.plan.spec import Plan

DIFFERS = 1
_ASKED = ("overrides", "limit", "seed", "batch_size")


@taking(
    "out", "device", "data_root", "download", "threads", "trust_code", "quiet", "engine", "workers",
    "deterministic",
)  # fmt: skip
def rerun(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Run folder to repeat.")],
    config: Annotated[
        Path | None,
        typer.Option(
            "--config",
            help="The configuration's own file, of a run of another version that names files beside it.",
        ),
    ] = None,
    *,
    options: Options,
) -> None:
    """Repeat a run in a new folder and compare the records; exit code 1 where they differ."""
    from robench.record.comparison.repetition import differences_of
    from robench.record.store import Store, check_run, is_run
    from robench.run.settings import Request

    check_run(run)
    folder = options.out or run.with_name(f"{run.name}-again")
    if is_run(folder):
        do = "Choose another with --out"
        raise ConfigError(where=str(folder), expected="a folder without a run", got="a run", do=do)
    plan, text, asked_options = _plan_of(run, config, options)
    request = Request(command=f"robench rerun {run.name}", asked=asked_options)
    outcome = outcome_of(plan, text, folder, options, request=request)
    comparison = differences_of(Store(run), Store(folder))
    for line in comparison.lines():
        typer.echo(one_line(line))
    finish(outcome, "unit", [folder], folder=folder, quiet=options.quiet)
    if not comparison.same:
        raise typer.Exit(DIFFERS)


def _plan_of(run: Path, config: Path | None, options: Options) -> tuple[Plan, str, dict[str, Any]]:
    """Return the plan of a run folder, its configuration's text, and the other options of the run."""
    from robench.plan.config import parse
    from robench.plan.yaml_reader import read_file

    text = read_file(run / "config.yaml")
    if config is None and (plan := _recorded_plan(run)) is not None:
        return plan, text, _request(run) or {}
    request = _request(run)
    if request is None:
        raise ConfigError(
            where=str(run / "run.json"),
            expected="a note of the options it was run with",
            got="none",
            do="It was made by an earlier version: run its config.yaml with the same options by hand",
        )
    settings = {name: request[name] for name in _ASKED if request.get(name) is not None}
    again = dataclasses.replace(options, **settings)
    try:
        plan = parse(text, file=config or run / "config.yaml", overrides=again.overrides)
    except ConfigError as error:
        do = error.do if config else "Name the configuration's own file with --config"
        raise ConfigError(where=error.where, expected=error.expected, got=error.got, do=do) from None
    return again.applied(plan), text, request


def _request(run: Path) -> dict[str, Any] | None:
    """Return which options a run was asked for with; None where its version did not note them."""
    from robench.record.store import Store

    summary = Store(run).read_json("run.json")
    request = summary.get("asked") if isinstance(summary, dict) else None
    return request if isinstance(request, dict) else None


def _recorded_plan(run: Path) -> Plan | None:
    """Return the plan that a run folder keeps; None where there is none, or one of another version."""
    from robench.audit.verify import read_plan
    from robench.record.store import Store

    try:
        return read_plan(Store(run))
    except ConfigError:
        return None
