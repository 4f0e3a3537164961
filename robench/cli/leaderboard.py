"""`robench leaderboard`: the boards of one or several runs; unlike settings never share a board."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from robench.cli.collector import no_collector
from robench.cli.console import one_line
from robench.errors import ConfigError
from robench.format_names import FORMATS, Format, format_of, plugin_of
from robench.plurals import counted

if TYPE_CHECKING:
    from robench.record.parts import RecordedTarget
    from robench.record.schema import Record
    from robench.record.store import Fault

MOST_FAULTS = 20
"""Most damaged files that are named one by one; the others are counted."""
NO_INDEX = "Read every record; neither use nor make an index (docs/scale.md)."
FormatOption = Annotated[
    Format,
    typer.Option("--format", parser=format_of, metavar="|".join(FORMATS), help="text, md, csv, json or tex."),
]


@no_collector()
def leaderboard(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Run folders.")],
    format: FormatOption = "text",
    out: Annotated[Path | None, typer.Option("-o", "--out", help="Write to this file.")] = None,
    details: Annotated[
        bool, typer.Option("--details", help="Show gradient sources one by one, and what the attacks asked.")
    ] = False,
    seeds: Annotated[
        bool, typer.Option("--seeds", help="Only mean and spread over the runs' seeds.")
    ] = False,
    no_index: Annotated[bool, typer.Option("--no-index", help=NO_INDEX)] = False,
) -> None:
    """Show the leaderboard of run folders; runs share a board only where images and threat are the same.

    Several runs of one configuration with different seeds also give mean and spread over seeds.
    """
    from robench import plugins

    if seeds and format == "tex":
        do = "Use --format csv or md"
        raise ConfigError(where="--seeds", expected="text, md, csv or json", got="tex", do=do)
    if format == "text":
        screen = plugins.find("reports", "screen")(details=details, seeds_only=seeds)
        parts = _parts(screen, runs, index=not no_index, usual=not (details or seeds))
        if out is None:
            from robench.cli.console import output

            console = output()
            for part in parts:
                console.print(part)
            return
        text = _piped(parts)
    else:
        options = {"seeds_only": True} if seeds else {}
        text = plugins.find("reports", plugin_of(format))(**options).render(
            _records(runs, not no_index, seeds)
        )
    print_or_write(text, out)


def _parts(screen: Any, runs: list[Path], *, index: bool, usual: bool) -> list[Any]:
    """Return the text for the terminal; for one large run the kept text in its folder, if still valid."""
    from robench.record.kept_text import KeptText

    if not (usual and index and len(runs) == 1):
        parts: list[Any] = screen(_records(runs, index, screen.seeds_only))
        return parts
    check_runs(runs)
    memory = KeptText(runs[0], f"{type(screen).__module__} {screen}")
    if (text := memory.read()) is not None:
        try:
            parts = screen.read(text)
        except (ValueError, TypeError, KeyError):
            pass
        else:
            return parts
    records, damage = read_with_damage(runs)
    parts = screen(records)
    if not damage:
        memory.write(screen.written(parts))
    return parts


def _piped(parts: Sequence[Any]) -> str:
    """Return what the terminal would show as text for a file."""
    from io import StringIO

    from rich.console import Console

    from robench.cli.console import PIPED_WIDTH, Unpadded

    stream = StringIO()
    lines: Any = Unpadded(stream)
    console = Console(file=lines, width=PIPED_WIDTH, no_color=True)
    for part in parts:
        console.print(part)
    return stream.getvalue()


def _records(runs: list[Path], index: bool, seeds: bool) -> list[Record]:
    """Return the records of runs; refuse a single seed if tables over seeds are requested."""
    records = read_runs(runs, index=index)
    if seeds and len(numbers := {record.seed for record in records}) < 2:
        do = "Run the same configuration with --seed 1 --out ANOTHER_FOLDER, and name both folders"
        got = f"seed {next(iter(numbers))} only"
        raise ConfigError(where="--seeds", expected="runs with at least two seeds", got=got, do=do)
    return records


def print_or_write(text: str, out: Path | None) -> None:
    """Print a text, or write it to a file and say so.

    Raises:
        StorageError: writing to disk failed.
    """
    from robench.record.files import write_atomic

    if out is None:
        typer.echo(text, nl=False)
    else:
        write_atomic(out, text)
        typer.echo(one_line(f"Written: {out}"))


def read_runs(runs: list[Path], *, index: bool = True) -> list[Record]:
    """Return the records of run folders; see `read_with_damage`."""
    return read_with_damage(runs, index=index)[0]


def read_with_damage(runs: list[Path], *, index: bool = True) -> tuple[list[Record], int]:
    """Return the records of run folders, and how much of them is damaged.

    Each record names the recipe of its model, if its run's plan has one. Damaged files are named on stderr
    and left out.

    Args:
        runs: the folders.
        index: use the indexes of large runs; otherwise read every record.

    Raises:
        ConfigError: a folder is not a run, or none of them has a finished unit.
    """
    from robench.record.recipe_hashes import model_recipes
    from robench.record.schema import put_targets
    from robench.record.store import Store

    check_runs(runs)
    records: list[Record] = []
    damage = 0
    first: dict[str, tuple[Path, Record]] = {}
    for run in runs:
        store = Store(run)
        readable, faults = store.readable(index=index)
        tell_faults(run, faults)
        damage += len(faults)
        recipes = model_recipes(store.plan_data())
        if len(runs) > 1:
            _tell_unlike(run, readable, first)
        targets: dict[int, tuple[RecordedTarget, RecordedTarget]] = {}  # many records share theirs

        def with_recipe(
            one: RecordedTarget,
            targets: dict[int, tuple[RecordedTarget, RecordedTarget]] = targets,
            recipes: Mapping[str, str] = recipes,
        ) -> RecordedTarget:
            if id(one) not in targets:
                targets[id(one)] = one, dataclasses.replace(one, recipe=recipes.get(one.name, ""))
            return targets[id(one)][1]

        put_targets(readable, with_recipe)
        records += readable
    if not records:
        got = "none that can be read" if damage else "none"
        where = ", ".join(map(str, runs[:MOST_FAULTS]))
        do = "Give the command again that began it, which goes on where it stopped"
        raise ConfigError(where=where, expected="at least one finished unit", got=got, do=do)
    return records, damage


def _tell_unlike(run: Path, records: Sequence[Record], first: dict[str, tuple[Path, Record]]) -> None:
    """Name on stderr units that an earlier run has with other verdicts; fills `first`."""
    unlike: dict[Path, int] = {}
    for record in records:
        place, before = first.setdefault(record.key, (run, record))
        if before is not record and before.columns != record.columns:
            unlike[place] = unlike.get(place, 0) + 1
    for place, count in unlike.items():
        units = f"{counted(count, 'unit')} {'is' if count == 1 else 'are'}"
        text = f"{units} in {place} and in {run} with other verdicts or costs; those of {run} are shown"
        typer.echo(one_line(text), err=True)


def tell_faults(run: Path, faults: Sequence[Fault]) -> None:
    """Name on stderr the files of a run folder that cannot be read."""
    for fault in faults[:MOST_FAULTS]:
        text = f"damaged: {run / fault.about}: {fault.text}; it is left out, and nothing was changed"
        typer.echo(one_line(text), err=True)
    if len(faults) > MOST_FAULTS:
        typer.echo(f"damaged: and {len(faults) - MOST_FAULTS} more", err=True)


def check_runs(runs: list[Path]) -> None:
    """Refuse folders that are not runs.

    Raises:
        ConfigError: names the first of them.
    """
    from robench.record.store import check_run, is_run

    for run in runs:
        if not is_run(run):
            refuse_tables(run, "a run folder")
        check_run(run)


def refuse_tables(folder: Path, expected: str) -> None:
    """Refuse a folder of tables from the Python API, which is not a run.

    Raises:
        ConfigError: says that the records behind the tables are not in it, and how to keep them.
    """
    if (folder / "leaderboard.csv").is_file() or (folder / "leaderboard.md").is_file():
        raise ConfigError(
            where=str(folder),
            expected=expected,
            got="tables, such as `write` of the Python API makes, without the records behind them",
            do="Evaluate the model with `robench run` or `robench eval`, which keep records, and name that "
            "folder",
        )
