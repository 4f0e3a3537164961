"""`robench paper TABLE`: run what a table of Wang & Osher 2019 needs, and set it beside the paper."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from robench.cli.console import one_line
from robench.cli.options import Options, check_device, taking
from robench.errors import ConfigError
from robench.run.models.torchrun import refuse_several

if TYPE_CHECKING:
    from robench.plan.paper.data_sets import PaperData
    from robench.plan.paper.documents import PaperDocument
    from robench.plan.paper.experiments import Experiment

SOME_FAILED = 3


@taking(
    "out", "device", "data_root", "download", "threads", "dry_run", "force", "quiet", "engine", "workers",
    "timeout_per_job", "memory_per_job", "retry_failed", "deterministic",
)  # fmt: skip
def paper(
    documents: Annotated[
        list[str], typer.Argument(metavar="TABLE...", help="table1 to table11, figure3 to figure10.")
    ],
    scale: Annotated[
        Literal["quick", "reduced", "full"],
        typer.Option(
            "--scale",
            help="quick: minutes, to see that it works; reduced: hours on 2 cores; full: the paper's.",
        ),
    ] = "quick",
    seeds: Annotated[
        int | None,
        typer.Option(
            "--seeds",
            min=1,
            max=100,
            help="How many trainings, with the seeds 0, 1, ...; 1 by default, full: 5.",
        ),
    ] = None,
    train_on: Annotated[
        str, typer.Option("--train-on", help="Training images: a data set's name or an .npz file.")
    ] = "",
    test_on: Annotated[
        str, typer.Option("--test-on", help="Test images: a data set's name or an .npz file.")
    ] = "",
    only: Annotated[
        list[str] | None,
        typer.Option(
            "--only", metavar="DATA", help="Of a table over several data sets, these alone; repeatable."
        ),
    ] = None,
    images: Annotated[
        list[int] | None,
        typer.Option(
            "--images",
            metavar="N",
            help="Of a table over several numbers of labelled training images, these alone; repeatable.",
        ),
    ] = None,
    *,
    options: Options,
) -> None:
    """Measure tables and figures of Wang & Osher 2019 and print them beside the published numbers.

    Every robust table is printed twice: by the published protocol, and by all attacks that were run. The same
    command again resumes.
    """
    from robench.plan.paper.data_sets import PaperData
    from robench.plan.paper.documents import document

    refuse_several("robench paper", "Start it without torchrun")
    check_device(options.device)
    entries = [document(name) for name in documents]
    root = options.out or Path("runs") / f"paper-{scale}"
    trials = seeds if seeds is not None else (5 if scale == "full" else 1)
    experiments = _experiments(entries, only or [], several=bool(train_on or test_on))
    if images and (single := [e.name for e in experiments if not e.has_sizes]):
        raise ConfigError(
            where="--images",
            expected="tables over several numbers of labelled training images: table1, 3, 4, 5 and 11",
            got=f"one of {single[0]}",
            do="Leave the option out",
        )
    folders: dict[str, list[Path]] = {}
    is_partial = False
    sets = {
        e.name: PaperData(name=e.data_set, train_on=train_on, test_on=test_on, images=tuple(images or ()))
        for e in experiments
    }
    for experiment in experiments:  # an error in any of them appears before the first one starts
        experiment.configuration(scale, sets[experiment.name], 0)
    for experiment in experiments:
        data = sets[experiment.name]
        for seed in range(trials):
            folder = root / f"{experiment.folder}-s{seed}"
            is_partial |= _run(experiment, scale, seed, data, replace(options, out=folder))
            folders.setdefault(experiment.name, []).append(folder)
    if not options.dry_run:
        for entry in entries:
            if runs := [run for name in entry.experiments for run in folders.get(name, [])]:
                _tell(entry, runs, root)
            for run in (run for name in entry.others for run in folders.get(name, [])):
                typer.echo(
                    one_line(f"{entry.name} on images the paper does not show: {run / 'leaderboard.md'}")
                )
    if is_partial:
        raise typer.Exit(SOME_FAILED)


def _experiments(
    documents: Sequence[PaperDocument], only: Sequence[str], *, several: bool
) -> list[Experiment]:
    """Return the experiments to run, each once, without those of a table that were not requested.

    Raises:
        ConfigError: no table has a requested data set, or `--train-on` would apply to several data sets.
    """
    from robench.plan.paper.experiments import EXPERIMENTS

    offers = {
        entry.name: [EXPERIMENTS[name] for name in (*entry.experiments, *(entry.others if only else ()))]
        for entry in documents
    }
    every = [experiment for offer in offers.values() for experiment in offer]
    data_sets = list(dict.fromkeys(experiment.data_set for experiment in every))
    if wrong := [name for name in only if name not in data_sets]:
        raise ConfigError(where="--only", expected=f"one of {', '.join(data_sets)}", got=repr(wrong[0]))
    for name, offer in offers.items():
        own = list(dict.fromkeys(experiment.data_set for experiment in offer))
        if only and not set(own) & set(only):
            raise ConfigError(where="--only", expected=f"{' or '.join(own)}, which {name} is of", got=only[0])
    selection = {e.name: e for e in every if not only or e.data_set in only}
    chosen_sets = {experiment.data_set for experiment in selection.values()}
    if several and len(chosen_sets) > 1:
        raise ConfigError(
            where="--train-on, --test-on",
            expected="tables over one data set",
            got=f"{' and '.join(sorted(chosen_sets))}",
            do="Choose one with --only",
        )
    return list(selection.values())


def _run(
    experiment: Experiment,
    scale: Literal["quick", "reduced", "full"],
    seed: int,
    data: PaperData,
    options: Options,
) -> bool:
    """Do one experiment in the folder of the options; return whether a part of it failed."""
    from robench.cli.run_and_report import evaluate
    from robench.plan.config import parse
    from robench.plan.data_root import check_checkpoints
    from robench.plan.yaml_writer import write_text

    text = write_text(
        experiment.configuration(scale, data, seed),
        comment=f"robench paper: {experiment.name}, {scale}, of Wang & Osher 2019 (arXiv:1907.06800).",
    )
    plan = parse(text, file=Path(f"{experiment.name}-{scale}.yaml"))
    check_checkpoints(plan, options.data_root)
    typer.echo(one_line(f"{experiment.name}, {scale}, seed {seed}: {options.out}"), err=True)
    try:
        evaluate(plan, text, options, tell_configuration=True)
    except typer.Exit as end:
        if end.exit_code != SOME_FAILED:
            raise
        return True
    return False


def _tell(entry: PaperDocument, runs: Sequence[Path], root: Path) -> None:
    """Print a table with its comparisons and write it as Markdown, or draw a figure."""
    from robench import plugins
    from robench.cli.console import output, unread
    from robench.record.files import write_atomic

    if not entry.is_table:
        if not entry.figure:
            typer.echo(
                one_line(f"{entry.name}, {entry.title}: in {', '.join(str(r / 'report.html') for r in runs)}")
            )
            return
        figure = plugins.find("figures", entry.figure, where="robench paper")()
        for run in runs:
            path = root / f"{entry.name}-{run.name}.svg"
            file = figure.of_runs([run], path) if hasattr(figure, "of_runs") else figure(_records(run), path)
            typer.echo(one_line(f"Written: {file}"))
        return
    table = plugins.find("reports", "paper", where="robench paper")
    recipes = [table(table=entry.number)]
    if entry.compares_heads:
        recipes.append(plugins.find("reports", "claims", where="robench paper")())
    console = output()
    with unread():
        for part in (part for recipe in recipes for part in recipe.on_screen(runs)):
            console.print(part)
    path = root / f"{entry.name}.md"
    write_atomic(path, "\n".join(recipe.render_runs(runs) for recipe in recipes))
    typer.echo(one_line(f"Written: {path}"))


def _records(run: Path) -> list[object]:
    from robench.record.store import Store

    return list(Store(run).read_records())
