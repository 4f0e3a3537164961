"""`robench optimality RUN...`: how near attacks come to the smallest perturbations known."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from robench.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from robench.record.measures.optimality import Optimality

Format = Literal["text", "csv", "json"]


def optimality(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Run folders.")],
    format: Annotated[Format, typer.Option("--format", help="text, csv or json.")] = "text",
    out: Annotated[Path | None, typer.Option("-o", "--out", help="Write to this file.")] = None,
) -> None:
    """Score attacks that look for smallest perturbations against the smallest that any run here found.

    The score is the optimality of AttackBench (Cina et al. 2024, arXiv:2404.19460): 1 comes as near to every
    image as anybody, 0 breaks none. Attacks of one model under one norm, with `eps: inf`, are compared.
    """
    from robench.cli.leaderboard import print_or_write, read_runs
    from robench.record.measures.optimality import scores

    records = read_runs(runs)
    lines = scores(records)
    if not lines:
        raise ConfigError(
            expected="an attack that looks for smallest perturbations, under `eps: inf`",
            got="none in these runs",
            do="Write a threat with `eps: inf` and attacks such as fmn, ddn, sigma_zero or pdpgd",
        )
    texts = {"text": _text, "csv": _csv, "json": _json}
    print_or_write(texts[format](lines), out)


def _text(lines: Sequence[Optimality]) -> str:
    from robench.cli.console import one_line

    head = ("model", "norm", "attack", "optimality", "nearest", "broken", "median", "known", "passes/image")
    rows = [head]
    for line in lines:
        rows.append(
            (
                line.model,
                line.norm,
                line.attack,
                _number(line.score, ".3f"),
                _number(line.nearest, ".0%"),
                f"{line.broken} of {line.n}",
                _number(line.median, ".4g"),
                _number(line.known_median, ".4g"),
                f"{line.passes:.0f}",
            )
        )
    cells = [[one_line(cell) for cell in row] for row in rows]
    widths = [max(len(row[column]) for row in cells) for column in range(len(head))]
    text = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in cells]
    return "\n".join(line.rstrip() for line in text) + "\n"


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)


def _csv(lines: Sequence[Optimality]) -> str:
    import csv
    import dataclasses
    import io

    stream = io.StringIO()
    names = [field.name for field in dataclasses.fields(lines[0])]
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(names)
    for line in lines:
        values = (getattr(line, name) for name in names)
        writer.writerow(["" if value is None else value for value in values])
    return stream.getvalue()


def _json(lines: Sequence[Optimality]) -> str:
    import dataclasses
    import json

    return json.dumps([dataclasses.asdict(line) for line in lines], indent=1) + "\n"
