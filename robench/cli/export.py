"""`robench export RUN... --to NAME`: results in the layout of others, in a folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from robench.cli.console import one_line
from robench.cli.leaderboard import check_runs, read_runs
from robench.errors import ConfigError
from robench.format_names import plain_name, plugin_of

EVERYTHING = {"csv": {"images": True}}
"""Options of a format that a run's own report leaves out and that one who exports wants."""


def export(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Run folders.")],
    to: Annotated[
        str,
        typer.Option(
            "--to",
            metavar="FORMAT",
            help="huggingface, model-index, owasp, csv or parquet; `robench list reports` has them all.",
        ),
    ],
    out: Annotated[
        Path | None, typer.Option("-o", "--out", help="Folder to write into, by default export/FORMAT.")
    ] = None,
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="OPTION=VALUE", help="An option of the format; `robench show FORMAT`."),
    ] = None,
) -> None:
    """Write results in the layout of others: Hugging Face, OWASP's AI Exchange, CSV or Parquet.

    Nothing is uploaded, and no network is used.
    """
    from robench import plugins
    from robench.recipe import build
    from robench.record.exchange.export_files import is_of_files, write_files

    name = plugin_of(to)
    plugin = plugins.find("reports", name, where="--to")
    if not is_of_files(plugin):
        raise _no_files(to)
    options = {**EVERYTHING.get(name, {}), **dict(map(_option, overrides or ()))}
    recipe = build(plugin, options, where=f"--set, of {to}")
    check_runs(runs)
    folder = out or Path("export") / (to if name == plain_name(to) else name)
    if folder.exists() and not folder.is_dir():
        raise ConfigError(where="--out", expected="a folder", got=f"the file {folder}")
    for path in write_files(recipe, read_runs(runs), folder, runs=runs):
        typer.echo(one_line(f"Written: {path}"))


def _option(text: str) -> tuple[str, Any]:
    """Return name and value of `name=value`.

    Raises:
        ConfigError: the equals sign is missing, or the text before it is empty.
    """
    name, sign, value = text.partition("=")
    if not sign or not name.strip():
        raise ConfigError(where="--set", expected="OPTION=VALUE", got=repr(text))
    words: dict[str, Any] = {"true": True, "false": False}
    return name.strip(), words.get(value.strip().lower(), value)


def _no_files(to: str) -> ConfigError:
    do = "Choose huggingface, model-index, owasp, csv or parquet"
    return ConfigError(where="--to", expected="a format that is written as files", got=repr(to), do=do)
