"""`robench board`: a folder of pages made of many runs, of any number of people."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from robench.cli.console import one_line
from robench.cli.leaderboard import check_runs, tell_faults
from robench.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from robench.record.board_entry import BoardEntry


def board(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Run folders and submission files.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder of the site.")] = Path("site"),
    title: Annotated[str, typer.Option("--title", help="Of the site.")] = "Robustness boards",
    published: Annotated[
        list[str] | None,
        typer.Option(
            "--published",
            metavar="FILE",
            help="Numbers of RobustBench's JSON, a file or a folder; they stand apart.",
        ),
    ] = None,
) -> None:
    """Make a site of many runs: one board for each data set and threat, a page for each model, offline."""
    from robench import plugins
    from robench.record.published_numbers import read_published

    check_runs(runs)
    pages = plugins.find("reports", "html", where="robench board")()
    pages.check_site(out)
    numbers = read_published(published or [])
    entries = read_entries(runs)
    written = pages.write_site(entries, out, title=title, published=numbers)
    typer.echo(one_line(f"Written: {written[0]} and {len(written) - 1} more pages"))


def read_entries(runs: Sequence[Path]) -> list[BoardEntry]:
    """Return what run folders hold; what cannot be read is named on stderr.

    Raises:
        ConfigError: none of them has a finished unit.
    """
    from robench.record.board_entry import BoardEntry
    from robench.record.store import Store

    entries: list[BoardEntry] = []
    titles: set[str] = set()
    for run in dict.fromkeys(one.resolve() for one in runs):
        records, faults = Store(run).readable()
        tell_faults(run, faults)
        title = _unique(run.name, titles)
        entries.append(
            BoardEntry(title=title, root=run, records=tuple(records), faults=tuple(faults), day=day_of(run))
        )
    if not any(entry.records for entry in entries):
        do = "Run `robench run` first"
        raise ConfigError(expected="at least one finished unit", got="none that can be read", do=do)
    return entries


def _unique(name: str, taken: set[str]) -> str:
    text, number = name, 1
    while text in taken:
        number += 1
        text = f"{name} ({number})"
    taken.add(text)
    return text


def day_of(run: Path) -> str:
    """Return the day on which a run folder last wrote its account, in universal time; empty for none."""
    try:
        seconds = (run / "run.json").stat().st_mtime
    except OSError:
        return ""
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).date().isoformat()
