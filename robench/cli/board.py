"""`robench board`: a folder of pages made of many runs, of any number of people."""

from __future__ import annotations

import dataclasses
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from robench.cli.console import one_line
from robench.cli.leaderboard import MOST_FAULTS, refuse_tables, tell_faults
from robench.cli.options import Options, check_device, taking
from robench.errors import ConfigError
from robench.plurals import counted

if TYPE_CHECKING:
    from robench.record.exchange.board_entry import BoardEntry


@taking("device", "data_root", "threads", "trust_code")
def board(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Run folders and submission files.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder of the site.")] = Path("site"),
    title: Annotated[str, typer.Option("--title", help="Of the site.")] = "Robustness boards",
    published: Annotated[
        list[str] | None,
        typer.Option(
            "--published",
            metavar="[NORM=]FILE",
            help="Numbers of RobustBench's JSON, a file or a folder; they stand apart.",
        ),
    ] = None,
    rejudge: Annotated[
        bool,
        typer.Option("--rejudge", help="Ask every network at hand again: clean images, and what broke it."),
    ] = False,
    models: Annotated[
        list[Path] | None,
        typer.Option(
            "--models",
            metavar="DIR",
            help="A run folder, or its `models`, with networks that submissions trained; with --rejudge.",
        ),
    ] = None,
    *,
    options: Options,
) -> None:
    """Make a site of many runs: one board for each data set and threat, a page for each model, offline."""
    from robench import plugins
    from robench.record.exchange.published_numbers import read_published

    check_device(options.device)
    _check(runs, models or [], rejudge)
    pages = plugins.find("reports", "html", where="robench board")()
    pages.check_site(out)
    numbers = read_published(published or [])
    with entries_of(runs) as entries:
        judged_entries = judged_again(entries, models or [], options) if rejudge else entries
        files = pages.write_site(judged_entries, out, title=title, published=numbers)
    more = len(files) - 1
    typer.echo(one_line(f"Written: {files[0]} and {counted(more, 'more page')}"))


def _check(runs: Sequence[Path], models: Sequence[Path], rejudge: bool) -> None:
    """Refuse paths that are neither runs nor submissions, and network folders that do not exist."""
    from robench.record.store import is_run

    for run in runs:
        if not is_run(run) and not (run.is_file() and zipfile.is_zipfile(run)):
            refuse_tables(run, "a run folder or a submission file")
            do = "Name folders that `robench run` printed last, or files of `robench submit`"
            got = (
                "a folder without `units`" if run.is_dir() else "another file" if run.exists() else "nothing"
            )
            raise ConfigError(where=str(run), expected="a run folder or a submission file", got=got, do=do)
    if models and not rejudge:
        raise ConfigError(where="--models", expected="--rejudge beside it", got="no --rejudge")
    for folder in models:
        if not folder.is_dir():
            raise ConfigError(where="--models", expected="a folder with networks", got=str(folder))


@contextmanager
def entries_of(runs: Sequence[Path]) -> Iterator[list[BoardEntry]]:
    """Give what run folders and submissions hold; what cannot be read is named on stderr.

    Raises:
        ConfigError: none of them has a finished unit.
        InputError: a submission is refused.
    """
    from robench.record.exchange.board_entry import BoardEntry
    from robench.record.exchange.submission import day_of, unpacked
    from robench.record.store import Store

    titles: set[str] = set()
    with ExitStack() as stack:
        entries = []
        for run in {one.resolve(): one for one in runs}.values():
            if run.is_dir():
                root, name, day = run, run.resolve().name, day_of(run)
                records, faults = Store(root).readable(index=True)
            else:
                submission = stack.enter_context(unpacked(run))
                root, name, day = submission.root, submission.name, submission.day
                records, faults = list(submission.records), list(submission.faults)
            tell_faults(run, faults)
            entries.append(
                BoardEntry(
                    title=_unique(name, titles),
                    root=root,
                    records=tuple(records),
                    faults=tuple(faults),
                    day=day,
                    submitted=root != run,
                )
            )
        if not any(entry.records for entry in entries):
            where = ", ".join(map(str, runs[:MOST_FAULTS]))
            do = "Give the commands again that began them, which go on where they stopped"
            got = "none that can be read"
            raise ConfigError(where=where, expected="at least one finished unit", got=got, do=do)
        yield entries


def _unique(name: str, names: set[str]) -> str:
    text, number = name, 1
    while text in names:
        number += 1
        text = f"{name} ({number})"
    names.add(text)
    return text


def judged_again(entries: Sequence[BoardEntry], models: Sequence[Path], options: Options) -> list[BoardEntry]:
    """Return the runs with the results of judging their networks again; a difference is a finding.

    Raises:
        StorageError: images that broke a model are missing or damaged.
    """
    from robench.audit.submission_rejudgement import doubted, judge_again
    from robench.cli.session import use_machine
    from robench.record.exchange.broken_images import of_run, of_submission
    from robench.record.store import Store

    use_machine(options.threads)
    extra = [folder / "models" if (folder / "models").is_dir() else folder for folder in models]
    results = []
    for entry in entries:
        store = Store(entry.root)
        images = of_submission(entry.root, entry.records) if entry.submitted else of_run(store, entry.records)
        answers = judge_again(
            store,
            entry.records,
            list(images),
            folders=[entry.root / "models", *extra],
            environment=options.environment,
        )
        for answer in answers:
            line = f"{entry.title}: {answer.model}: {answer.text}" + (f". {answer.do}" if answer.do else "")
            typer.echo(one_line(line), err=True)
        results.append(
            dataclasses.replace(
                entry,
                records=tuple(doubted(entry.records, answers)),
                judged_again={answer.model: answer.text for answer in answers},
            )
        )
    return results
