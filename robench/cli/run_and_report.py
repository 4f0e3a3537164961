"""Evaluates a plan for a command: runs it, writes the reports, prints. Shared by `run` and `eval`."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from robench.cli.console import one_line, printable, unread
from robench.cli.execution import outcome_of
from robench.cli.logged import log_headlines, open_log
from robench.cli.options import Options
from robench.cli.run_log import kind_and_place
from robench.cli.session import finish
from robench.errors import ConfigError
from robench.plan.radius import slip_in, too_small
from robench.plurals import counted

if TYPE_CHECKING:
    from robench.cli.run_log import RunLog
    from robench.plan.spec import DataSpec, Plan, ThreatSpec
    from robench.record.exchange.plain_boards import PlainBoard, PlainTables
    from robench.run.outcome import Outcome

GATE_FAILED = 1
CERTIFICATE_BROKEN = 4


def evaluate(plan: Plan, text: str, options: Options, *, tell_configuration: bool = False) -> None:
    """Carry out a plan in its folder, write its reports, and print leaderboard and last lines.

    Args:
        plan: what is done.
        text: the configuration it was read from, kept verbatim.
        options: of the command.
        tell_configuration: name the configuration's file in the last line, if the user did not write it.

    Raises:
        RobenchError: the plan cannot be done here, or writing to disk failed.
        Exit: jobs failed, a certified image was broken, or `--strict` finds a row in doubt.
    """
    folder = options.folder(plan)
    tell_slips(plan)
    if options.log is not None:
        kind_and_place(options.log)  # refused before any work
    if options.dry_run:
        if options.format != "text":
            raise ConfigError(where="--format json", expected="a run", got="--dry-run, which prints text")
        _describe(plan, folder)
        return
    log = open_log(options.log, plan, folder)
    try:
        _evaluate(plan, text, options, folder, log, tell_configuration=tell_configuration)
    finally:
        if log:
            log.close()
            if complaint := log.complaint():
                typer.echo(one_line(f"log: {complaint}"), err=True)


def tell_slips(plan: Plan) -> None:
    """Ask on stderr about radii that look like a mistake: 8/225, or less than half a grey level."""
    questions = [slip_in(one.eps_text) or too_small(one.norm, one.eps, one.eps_text) for one in plan.threats]
    for question in dict.fromkeys(filter(None, questions)):
        typer.echo(one_line(question), err=True)


def _evaluate(
    plan: Plan, text: str, options: Options, folder: Path, log: RunLog | None, *, tell_configuration: bool
) -> None:
    from robench.run.settings import Request

    plain = options.format == "text"
    outcome = outcome_of(
        plan,
        text,
        folder,
        options,
        request=Request(command=_command(), asked=options.asked),
        leave=lambda: _report(folder, quiet=True),
        log=log,
    )
    if options.quiet and outcome.replaced:  # else the reporter has said it
        typer.echo(one_line(outcome.replaced), err=True)
    tables = _tables(folder)
    table = tables["boards"]
    if log:
        log_headlines(log, table)
    contradictions = broken_certificates(table)
    for line in contradictions:  # before everything else: the numbers of this run are not reliable
        typer.echo(printable(line), err=not plain)
    paths = _page_first(_report(folder, quiet=options.quiet or not plain))
    if tell_configuration:
        paths.append(folder / "config.yaml")
    doubts = _doubts(table)
    if not plain:
        with unread():
            typer.echo(_json(tables, outcome, folder, paths))
    try:
        finish(
            outcome,
            "unit",
            paths,
            doubt=_doubt(doubts),
            folder=folder,
            quiet=options.quiet,
            err=not plain,
        )
    except typer.Exit:
        if not contradictions:
            raise
    if contradictions:
        raise typer.Exit(CERTIFICATE_BROKEN)
    if options.strict and doubts:
        for model, codes in doubts.items():
            typer.echo(one_line(f"in doubt: {model}: {', '.join(sorted(codes))}"), err=True)
        raise typer.Exit(GATE_FAILED)


def _doubt(doubts: dict[str, set[str]]) -> str:
    """Return in a few words whether the numbers are reliable."""
    if not doubts:
        return "no row in doubt"
    codes = sorted(set().union(*doubts.values()))
    return f"{counted(len(doubts), 'model')} in doubt: {', '.join(codes)}"


def _page_first(paths: list[Path]) -> list[Path]:
    """Return the page to open first, and then the other files in the order of writing."""
    return sorted(paths, key=lambda path: path.name != "report.html")


def _command() -> str:
    """Return the command line without folders, which are meaningless on another machine."""
    arguments = [
        re.sub(r"(^(?:mlflow:|trackio:)?|=)(?:~|\.{0,2})/(?:.*/)?([^/]+)/*$", r"\1\2", word)
        for word in sys.argv[1:]
    ]
    return shlex.join(["robench", *arguments])


def _report(folder: Path, *, quiet: bool) -> list[Path]:
    """Write the leaderboard as CSV and Markdown, model cards and the page, then print the leaderboard.

    In this order, because a reader that closes the pipe early must change neither the files nor the exit
    code. Existing reports of exactly these files and this code are not made again. Data that `_tables` has
    read are taken from the index that it made.
    """
    from robench import plugins
    from robench.cli.console import output
    from robench.record.made_reports import MadeReports
    from robench.record.store import Store

    memory = MadeReports(folder)
    records = Store(folder).read_records(index=True)
    formats = (
        ("csv", "markdown", "cards", "html") if records else ("html",)
    )  # a page is useful even if there are only failures
    paths = memory.paths()
    if paths is None:
        paths = [path for name in formats for path in plugins.find("reports", name)()(records, folder)]
        memory.note(paths)
    if records and not quiet:
        console = output()
        with unread():
            for part in plugins.find("reports", "screen")()(records):
                console.print(part)
    return paths


def _json(tables: PlainTables, outcome: Outcome, folder: Path, paths: list[Path]) -> str:
    """Return what a run did and its boards as JSON text."""
    import json

    run = {
        "folder": str(folder),
        "finished": outcome.finished,
        "cached": outcome.cached,
        "failed": outcome.failed,
        "seconds": outcome.seconds,
        "images": outcome.images,
        "files": [str(path) for path in paths],
    }
    return json.dumps({"schema": tables["schema"], "run": run, **tables}, indent=1, allow_nan=False)


def _tables(folder: Path) -> PlainTables:
    """Return the boards of a run folder and the spread over seeds as plain JSON data; read every record."""
    from robench.record.exchange.plain_boards import plain_tables
    from robench.record.store import Store

    records = Store(folder).read_records(anew=True)
    return plain_tables(records) if records else {"schema": 1, "boards": [], "over_seeds": []}


def broken_certificates(boards: Sequence[PlainBoard]) -> list[str]:
    """Return a line for every model and board with a certified image that an attack broke."""
    return [
        f"CERTIFICATE BROKEN: {doubt['model']}: {doubt['evidence']}. {doubt['remedy']}."
        for board in boards
        for doubt in board["doubts"]
        if doubt["code"] == "broken-certificate"
    ]


def _doubts(boards: Sequence[PlainBoard]) -> dict[str, set[str]]:
    """Return which models are in doubt and why: a finding on clean images, or in every attack on it."""
    doubts: dict[str, set[str]] = {}
    for row in (row for board in boards for row in board["rows"] if row["doubted"]):
        doubts.setdefault(row["model"], set()).update(row["standing"])
    return doubts


def _describe(plan: Plan, folder: Path) -> None:
    from robench.record.store import Store

    pairs = len(plan.models) * sum(len(t.attacks) for t in plan.threats)
    graph = any(model.head.name != "linear" for model in plan.models)
    lines = [
        f"{plan.name}: {_images(plan.data)}, {_count(plan.data)} images, "
        f"shards of {plan.shard}, seed {plan.seed}",
        *(f"model {m.name}: {_origin(m)}, head {m.head.name}" for m in plan.models),
        *(
            f"threat {_threat(t, graph=graph)}: "
            f"{', '.join([*(a.label for a in t.attacks), *(f'{b.label} bounds' for b in t.bounds)])}"
            for t in plan.threats
        ),
        f"{counted(pairs, '(model, attack) pair')} per gradient source and shard; "
        f"transfer {'on' if plan.transfer else 'off'}",
        f"{folder}: {counted(len(Store(folder).keys()), 'finished unit')} there. Nothing was run.",
    ]
    for line in lines:
        typer.echo(printable(line))


def _threat(spec: ThreatSpec, *, graph: bool) -> str:
    """Return a threat of a plan in one line."""
    from robench.record.threat_summary import ThreatSummary, plain_text

    threat = ThreatSummary(spec.norm, spec.eps, spec.goal, None, spec.knowledge, spec.budget)
    return plain_text(threat, spec.eps_text, graph=graph)


def _images(data: DataSpec) -> str:
    """Return the images' name in rows and reports, and the data set plugin if its name differs."""
    from robench.plan.data_title import data_title, images_title

    name = data.dataset.name
    title = data_title(name, data.dataset.options, data.split)
    return images_title(title, data.split) + (f" ({name})" if title != name else "")


def _count(data: DataSpec) -> str:
    """Return how many images will be evaluated, as far as the plan says."""
    counts = [count for count in (data.limit, data.indices and len(data.indices)) if count]
    if data.at_most is not None:
        return f"at most {min([*counts, data.at_most])}"
    return str(min(counts)) if counts else "all"


def _origin(model: Any) -> str:
    if model.features_of:
        return f"features of {model.features_of}"
    if model.checkpoint:
        return f"{model.architecture.name} from {model.checkpoint.name}"
    training = f"trained by {model.train.defense.name}" if model.train else "untrained"
    return f"{model.architecture.name}, {training}"
