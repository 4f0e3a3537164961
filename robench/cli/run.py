"""`robench run`: evaluate a configuration, keep everything, print the leaderboard. The same again resumes."""

from __future__ import annotations

import dataclasses
import re
import shlex
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from robench.cli.guard import Terminated, printable
from robench.cli.pace import rate, span
from robench.errors import ConfigError
from robench.plan.data_root import check_checkpoints
from robench.run.torchrun import refuse_several

if TYPE_CHECKING:
    from robench.plan.spec import DataSpec, Plan
    from robench.run.execute import Outcome

GATE_FAILED, SOME_FAILED = 1, 3
DEVICE = re.compile(r"auto|cpu|mps|cuda(:\d+)?")

Config = Annotated[
    str, typer.Argument(metavar="CONFIG_OR_SUITE", help="A YAML file, or the name of a suite.")
]
Out = Annotated[
    Path | None, typer.Option("-o", "--out", envvar="ROBENCH_OUT", help="Run folder, by default runs/NAME.")
]
Set = Annotated[
    list[str] | None, typer.Option("--set", metavar="PATH.TO.KEY=VALUE", help="Override a value; repeatable.")
]
Seed = Annotated[int | None, typer.Option("--seed", min=0, help="Override the seed.")]
Limit = Annotated[int | None, typer.Option("--limit", min=1, help="Evaluate on so many images only.")]
Device = Annotated[str, typer.Option("--device", envvar="ROBENCH_DEVICE", help="auto, cpu, cuda or cuda:N.")]
DataRoot = Annotated[
    Path | None, typer.Option("--data-root", envvar="ROBENCH_DATA_ROOT", help="Folder with data sets.")
]
Download = Annotated[bool, typer.Option("--download", help="Allow data sets to be downloaded.")]
BatchSize = Annotated[int | None, typer.Option("--batch-size", min=1, help="Most images per pass.")]
Threads = Annotated[
    int | None,
    typer.Option("--threads", min=1, help="CPU threads; 1 suits tiny networks and shared cores."),
]
TrustCode = Annotated[bool, typer.Option("--trust-code", help="Allow Python files named in CONFIG to run.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show what would be done and stop.")]
Force = Annotated[bool, typer.Option("--force", help="Compute everything again.")]
Engine = Annotated[
    Literal["auto", "eager"],
    typer.Option("--engine", help="auto: attack a faster copy, proven equal; eager: the network as it is."),
]
Strict = Annotated[bool, typer.Option("--strict", help="Exit with code 1 if a finding puts a row in doubt.")]
QuietFlag = Annotated[bool, typer.Option("-q", "--quiet", help="Print the last lines only.")]


def run(
    config: Config = "robench.yaml",
    out: Out = None,
    overrides: Set = None,
    limit: Limit = None,
    seed: Seed = None,
    device: Device = "auto",
    data_root: DataRoot = None,
    download: Download = False,
    batch_size: BatchSize = None,
    threads: Threads = None,
    trust_code: TrustCode = False,
    dry_run: DryRun = False,
    force: Force = False,
    strict: Strict = False,
    quiet: QuietFlag = False,
    engine: Engine = "auto",
) -> None:
    """Evaluate a configuration and print its leaderboard; the same command again resumes."""
    refuse_several("robench run", "Train by `torchrun -m robench train`, then evaluate without torchrun")
    plan, text = planned(config, overrides, limit=limit, seed=seed, batch_size=batch_size)
    check_checkpoints(plan, data_root)
    folder = out or Path("runs") / plan.name
    check_device(device)
    if dry_run:
        _describe(plan, folder)
        return

    def work(reporter: Any) -> Outcome:
        from robench.run.execute import execute

        return execute(
            plan,
            folder,
            config_text=text,
            device=device,
            data_root=data_root,
            download=download,
            trust_code=trust_code,
            force=force,
            reporter=reporter,
            command=_command(),
            eager=engine == "eager",
        )

    outcome = interruptible(work, folder, quiet=quiet, threads=threads)
    written = _report(folder, quiet=quiet)
    doubted = _doubted(folder)
    happened = "no row in doubt"
    if doubted:
        codes = sorted(set().union(*doubted.values()))
        rows = f"{len(doubted)} model{'s' * (len(doubted) > 1)} in doubt"
        happened = f"{rows}: {', '.join(codes)}"
    finish(outcome, "units", _page_first(written), doubt=happened, folder=folder)
    if strict and doubted:
        for model, found in doubted.items():
            typer.echo(printable(f"in doubt: {model}: {', '.join(sorted(found))}"), err=True)
        raise typer.Exit(GATE_FAILED)


def planned(
    config: str, overrides: list[str] | None, *, limit: int | None, seed: int | None, batch_size: int | None
) -> tuple[Plan, str]:
    """Return the plan with the command line's overrides, and the configuration's text."""
    from robench.plan.config import locate, parse
    from robench.plan.yaml_reader import read_file

    path = locate(config)
    text = read_file(path)
    plan = parse(text, file=path, overrides=overrides)
    if limit is not None:
        plan = dataclasses.replace(plan, data=dataclasses.replace(plan.data, limit=limit))
    changes = {"seed": seed, "batch_size": batch_size}
    return dataclasses.replace(plan, **{k: v for k, v in changes.items() if v is not None}), text  # type: ignore[arg-type]


def check_device(device: str) -> None:
    """Refuse a word that names no device, before anything slow is imported."""
    if not DEVICE.fullmatch(device):
        raise ConfigError(where="--device", expected="auto, cpu, cuda, cuda:N or mps", got=repr(device))


def interruptible(
    work: Callable[[Any], Outcome], folder: Path, *, quiet: bool, threads: int | None
) -> Outcome:
    """Do the work with a reporter; on Ctrl-C or SIGTERM say what is saved and how to go on."""
    from robench.cli.reporters import reporter
    from robench.machine import keep_freed_memory

    keep_freed_memory()
    if threads:
        import torch

        torch.set_num_threads(threads)
    told = reporter(quiet=quiet)
    try:
        with _terminable():
            return work(told)
    except KeyboardInterrupt as error:
        told.close()
        again = shlex.join(["robench", *sys.argv[1:]])
        typer.echo(f"Interrupted. Finished work is saved in {printable(str(folder))}", err=True)
        typer.echo(f"Resume with: {printable(again)}", err=True)
        raise typer.Exit(getattr(error, "exit_code", 130)) from None
    finally:
        told.close()


@contextmanager
def _terminable() -> Iterator[None]:
    """Make SIGTERM raise like Ctrl-C, so that locks are released and the running unit is dropped cleanly."""

    def stop(number: int, frame: object) -> None:
        raise Terminated

    try:
        before = signal.signal(signal.SIGTERM, stop)
    except ValueError:  # not the main thread: somebody else minds the signals
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def finish(outcome: Outcome, noun: str, paths: list[Path], *, folder: Path, doubt: str = "") -> None:
    """Print the three last lines: what happened, how long it took, where report or files lie.

    Args:
        outcome: what was done.
        noun: what was counted.
        paths: what was written, the most important first.
        folder: the run folder; why jobs failed lies in its `errors`.
        doubt: whether the numbers can be believed; empty where there are none.
    """
    if outcome.failed:  # before the last lines, so that these stay the last
        typer.echo(f"Why jobs failed: {printable(str(folder / 'errors'))}", err=True)
    counts = f"{outcome.finished} {noun} finished, {outcome.cached} cached, {outcome.failed} failed"
    typer.echo(counts + (f"; {doubt}." if doubt else "."))
    judged = ""
    if outcome.images and outcome.judging > 0:
        judged = f", {outcome.images} images judged at {rate(outcome.images / outcome.judging)} a second"
    typer.echo(f"Time: {span(outcome.seconds)}{judged}.")
    typer.echo(f"Report: {printable(', '.join(map(str, paths)))}")
    if outcome.failed:
        raise typer.Exit(SOME_FAILED)


def _page_first(written: list[Path]) -> list[Path]:
    """Return the page to open first, and then the rest as it was written."""
    return sorted(written, key=lambda path: path.name != "report.html")


def _command() -> str:
    """Return the command line without folders, which say nothing to a reader elsewhere."""
    named = [re.sub(r"(^|=)(?:~|\.{0,2})/(?:.*/)?([^/]+)/*$", r"\1\2", word) for word in sys.argv[1:]]
    return shlex.join(["robench", *named])


def _report(folder: Path, *, quiet: bool) -> list[Path]:
    """Write the leaderboard as CSV and Markdown, model cards and the page, then print the leaderboard.

    In this order: a reader that closes the pipe early must not cost the files.
    """
    from robench import plugins
    from robench.cli.console import output
    from robench.record.store import Store

    records = Store(folder).read_records()
    formats = (
        ("csv", "markdown", "cards", "html") if records else ("html",)
    )  # failures alone are worth a page
    written = [path for name in formats for path in plugins.find("reports", name)()(records, folder)]
    if records and not quiet:
        console = output()
        for shown in plugins.find("reports", "screen")()(records):
            console.print(shown)
    return written


def _doubted(folder: Path) -> dict[str, set[str]]:
    """Return which models are in doubt and why: a finding on clean images, or in every attack on it."""
    import json

    from robench import plugins
    from robench.record.store import Store

    records = Store(folder).read_records()
    if not records:
        return {}
    boards = json.loads(plugins.find("reports", "json")().render(records))["boards"]
    doubted: dict[str, set[str]] = {}
    for row in (row for board in boards for row in board["rows"] if row["doubted"]):
        doubted.setdefault(row["model"], set()).update(row["standing"])
    return doubted


def _describe(plan: Plan, folder: Path) -> None:
    from robench.record.store import Store
    from robench.record.threat_summary import ThreatSummary

    lines = [
        f"{plan.name}: {plan.data.dataset.name} {plan.data.split}, {_count(plan.data)} images, "
        f"shards of {plan.shard}, seed {plan.seed}",
        *(f"model {m.name}: {_origin(m)}, head {m.head.name}" for m in plan.models),
        *(
            f"threat {ThreatSummary(t.norm, t.eps, t.goal, None, t.knowledge, t.budget).text(t.eps_text)}: "
            f"{', '.join(a.label for a in t.attacks)}"
            for t in plan.threats
        ),
        f"{len(plan.models) * sum(len(t.attacks) for t in plan.threats)} (model, attack) pairs per gradient "
        f"source and shard; transfer {'on' if plan.transfer else 'off'}",
        f"{folder}: {len(Store(folder).keys())} finished units are there. Nothing was run.",
    ]
    for line in lines:
        typer.echo(printable(line))


def _count(data: DataSpec) -> str:
    """Return how many images will be evaluated, as far as the plan says."""
    counts = [count for count in (data.limit, data.indices and len(data.indices)) if count]
    return str(min(counts)) if counts else "all"


def _origin(model: Any) -> str:
    if model.features_of:
        return f"features of {model.features_of}"
    if model.checkpoint:
        return f"{model.architecture.name} from {model.checkpoint.name}"
    trained = f"trained by {model.train.defense.name}" if model.train else "untrained"
    return f"{model.architecture.name}, {trained}"
