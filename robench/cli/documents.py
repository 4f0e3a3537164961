"""Documents from run folders: figures, published tables, references, badges and pages.

`robench plot`, `table`, `cite`, `badge` and `report`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from robench.cli.collector import no_collector
from robench.cli.console import one_line
from robench.cli.leaderboard import (
    NO_INDEX,
    FormatOption,
    check_runs,
    print_or_write,
    read_runs,
    tell_faults,
)

if TYPE_CHECKING:
    from robench.record.schema import Record
    from robench.record.store import Fault

Runs = Annotated[list[Path], typer.Argument(metavar="RUN...", help="Run folders.")]
Out = Annotated[Path | None, typer.Option("-o", "--out", help="Write to this file.")]


def plot(
    figure: Annotated[str, typer.Argument(help="Which figure; `robench list figures`.")],
    runs: Runs,
    out: Annotated[
        Path | None, typer.Option("-o", "--out", help="File; .svg, .png or .pdf. By default FIGURE.svg.")
    ] = None,
    board: Annotated[
        str | None, typer.Option("--board", help="Text in the title of the board, such as 'Linf 0.3'.")
    ] = None,
) -> None:
    """Draw a figure of run folders; the suffix of the file chooses the format."""
    from robench import plugins

    recipe = plugins.find("figures", figure, where="robench plot")()
    path = out or Path(f"{figure}.svg")
    if hasattr(recipe, "of_runs"):  # drawn from data that only a folder has, such as training histories
        read_and_tell(runs, features=True)
        path = recipe.of_runs(runs, path, board=board)
    else:
        path = recipe(read_runs(runs), path, board=board)
    typer.echo(one_line(f"Written: {path}"))


def table(
    runs: Runs,
    paper: Annotated[
        str,
        typer.Option("--paper", metavar="N", help="Number of the table, 1 to 11; all that fit if absent."),
    ] = "",
    format: FormatOption = "text",
    out: Out = None,
) -> None:
    """Show tables of Wang & Osher 2019 with our numbers, the published ones and the difference."""
    from robench import plugins

    recipe = plugins.find("reports", "paper", where="robench table")
    readable = read_and_tell(runs)
    if format == "text" and out is None:
        from robench.cli.console import output

        console = output()
        for part in recipe(table=paper).on_screen(runs, readable):
            console.print(part)
        return
    text = recipe(table=paper, format="md" if format == "text" else format).render_runs(runs, readable)
    print_or_write(text, out)


def cite(
    runs: Runs,
    out: Out = None,
) -> None:
    """Print BibTeX of every attack, defense, head, network and data set that runs used."""
    from robench import plugins

    check_runs(runs)
    readable = read_and_tell(runs)
    text: str = plugins.find("reports", "bibtex", where="robench cite")().render_runs(runs, readable)
    print_or_write(text, out)


def badge(
    runs: Runs,
    model: Annotated[str, typer.Option("--model", help="Whose number; needed if there are several.")] = "",
    board: Annotated[
        str, typer.Option("--board", help="Text in the title of the board, such as 'Linf 0.3'.")
    ] = "",
    out: Annotated[Path, typer.Option("-o", "--out", help="File to write.")] = Path("badge.svg"),
) -> None:
    """Draw a badge of one model's headline; a doubted or partial number says so."""
    from robench import plugins

    recipe = plugins.find("reports", "badge", where="robench badge")
    print_or_write(recipe(model=model, board=board).render(read_runs(runs)), out)


@no_collector()
def report(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder.")],
    out: Annotated[
        Path | None, typer.Option("-o", "--out", help="File to write, by default RUN/report.html.")
    ] = None,
    no_index: Annotated[bool, typer.Option("--no-index", help=NO_INDEX)] = False,
) -> None:
    """Write the HTML report and the model cards of a run folder; damaged files are listed on the page."""
    from robench import plugins

    (readable,) = read_and_tell([run], index=not no_index)
    text: str = plugins.find("reports", "html", where="robench report")().render_run(run, readable)
    print_or_write(text, out or run / "report.html")
    if out is None:
        for cards in plugins.find("reports", "cards", where="robench report")().write_run(run, readable):
            typer.echo(one_line(f"Written: {cards}"))


def read_and_tell(
    runs: list[Path], *, features: bool = False, index: bool = True
) -> list[tuple[list[Record], list[Fault]] | None]:
    """Return the readable contents of run folders, on request with features; name damaged files on stderr.

    None for a path that is not a run folder, which the command itself refuses.
    """
    from robench.record.feature_snapshot import snapshot_faults
    from robench.record.store import Store, is_run

    readable: list[tuple[list[Record], list[Fault]] | None] = []
    for run in runs:
        if not is_run(run):
            readable.append(None)
            continue
        store = Store(run)
        own = store.readable(index=index)
        snapshots = store.facts()[0].get("geometry", []) if features else []
        tell_faults(run, [*own[1], *snapshot_faults(store, snapshots)])
        readable.append(own)
    return readable
