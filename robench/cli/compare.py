"""`robench compare A B`: the paired difference of two runs; exit code 1 on a regression."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from robench.errors import ConfigError

if TYPE_CHECKING:
    from robench.record.comparison.run_comparison import Difference
    from robench.record.comparison.size_comparison import SizeDifference
    from robench.record.schema import Record

REGRESSION = 1
MOST_NAMED = 6
"""Most attackers of only one run that a line names; the others are counted."""


def compare(
    first: Annotated[Path, typer.Argument(metavar="A", help="Run folder, the one before.")],
    second: Annotated[
        Path | None,
        typer.Argument(
            metavar="[B]", help="Run folder, the one after; by default A, for --pair.", show_default=False
        ),
    ] = None,
    pair: Annotated[
        list[str] | None,
        typer.Option("--pair", metavar="A-MODEL=B-MODEL", help="Compare two models of unlike names."),
    ] = None,
    max_drop: Annotated[
        float | None,
        typer.Option(
            "--max-drop",
            min=0,
            max=100,
            help="Exit 1 if B is worse by more points (without a radius: its median change by more percent), "
            "or lacks what A has.",
        ),
    ] = None,
    format: Annotated[Literal["text", "json"], typer.Option("--format", help="text or json.")] = "text",
) -> None:
    """Compare two runs image by image: gap, its score interval for pairs, and the exact McNemar test."""
    from robench.cli.console import one_line
    from robench.cli.leaderboard import read_runs
    from robench.record.comparison.run_comparison import differences, unmatched
    from robench.record.comparison.size_comparison import size_differences
    from robench.record.completeness import missing_rows

    pairs = _pairs(pair)
    if second is None and not pairs:
        do = "Name another run folder, or two models of this one: --pair MODEL=MODEL"
        raise ConfigError(where="compare", expected="two run folders", got="one", do=do)
    before = read_runs([first])
    after = read_runs([second]) if second is not None else before
    gaps = differences(before, after, pairs=pairs)
    sizes = size_differences(before, after, pairs=pairs)
    name = "A" if second is None else "B"
    leftovers = unmatched(before, after, pairs=pairs, second_name=name)
    partial = {"A": missing_rows(before), "B": missing_rows(after)}
    if format == "json":
        lines = [{**_plain(d), **_lacks(d, partial), **_plain_size(d, sizes)} for d in gaps]
        typer.echo(json.dumps(lines, indent=1))
    else:
        _show(gaps, sizes)
    for text in () if pairs else _remarks(before, after):
        typer.echo(text, err=format == "json")
    for run, rows in partial.items():
        for setting, model, texts in rows:
            line = f"partial: {model} of {run}, {setting}: lacks {'; '.join(texts)}"
            typer.echo(one_line(line), err=format == "json")
    # The lines below the tables name the attackers, in both directions; a failed check gives its reason.
    is_told = format == "text" and max_drop is None
    for text in leftovers.columns if is_told else (*leftovers.columns, *leftovers.attackers):
        typer.echo(one_line(f"not compared: {text}"), err=True)
    if max_drop is None:
        return
    regressions = _regressions(gaps, sizes, max_drop)
    for text in regressions:
        typer.echo(one_line(f"regression: {text}"), err=True)
    if leftovers:
        typer.echo("--max-drop cannot vouch for what was not compared; exit code 1", err=True)
    if partial["B"]:
        typer.echo("--max-drop cannot vouch for a partial run; exit code 1", err=True)
    if regressions or leftovers or partial["B"]:
        raise typer.Exit(REGRESSION)


def _regressions(gaps: Sequence[Difference], sizes: Sequence[SizeDifference], most: float) -> list[str]:
    """Return what fell by more than so many points, or percent of a median size."""
    points = [
        f"{d.model}, {d.column}, {d.setting}: {100 * d.gap:+.1f} points, more than {most:g} down"
        for d in gaps
        if -100 * d.gap > most + 1e-9
    ]
    percents = [
        f"{size.model}, {size.column}, {size.setting}: the median change is {100 * size.loss:.1f} % smaller, "
        f"more than {most:g}"
        for size in sizes
        if 100 * size.loss > most + 1e-9
    ]
    return points + percents


def _remarks(before: Sequence[Record], after: Sequence[Record]) -> list[str]:
    """Return remarks on two runs that are the same or differ in more than their models."""
    if {record.key for record in before} == {record.key for record in after}:
        return ["A and B hold the same units"]
    seeds = [sorted({record.seed for record in records}) for records in (before, after)]
    if seeds[0] != seeds[1]:
        first, second = (", ".join(map(str, one)) for one in seeds)
        return [f"other seeds: {first} in A, {second} in B; what chance does is in every gap"]
    return []


def _pairs(texts: list[str] | None) -> list[tuple[str, str]]:
    pairs = []
    for text in texts or []:
        one, equals, two = text.partition("=")
        if not (one and equals and two):
            raise ConfigError(where="--pair", expected="FIRST=SECOND", got=repr(text))
        pairs.append((one, two))
    return pairs


def _lacks(d: Difference, partial: dict[str, list[tuple[str, str, tuple[str, ...]]]]) -> dict[str, Any]:
    """Return what is missing from the plans in the two rows of a difference."""
    first, _, second = d.model.partition(" -> ")
    names = {"A": first, "B": second or first}
    return {
        key: [
            text
            for setting, model, texts in partial[run]
            if (setting, model) == (d.setting, names[run])
            for text in texts
        ]
        for key, run in (("first_lacks", "A"), ("second_lacks", "B"))
    }


def _narrowed(d: Difference) -> list[str]:
    """Return the attackers that a worst case leaves out, a line for each run that alone met some."""
    return [
        f"worst case of {d.model}, {d.setting}: over what both met; {run} alone met {_several(left_out)}"
        for run, left_out in zip("AB", d.left_out, strict=True)
        if left_out
    ]


def _several(words: Sequence[str]) -> str:
    more = f" and {len(words) - MOST_NAMED} more" if len(words) > MOST_NAMED else ""
    return f"{', '.join(words[:MOST_NAMED])}{more}"


def _plain(d: Difference) -> dict[str, Any]:
    low, high = d.interval
    return {
        "setting": d.setting,
        "model": d.model,
        "column": d.column,
        "n": d.n,
        "first": d.first,
        "second": d.second,
        "gap": d.gap,
        "gap_low": low,
        "gap_high": high,
        "only_first": d.only_first,
        "only_second": d.only_second,
        "mcnemar_p": d.p_value,
        "first_alone_met": list(d.left_out[0]),
        "second_alone_met": list(d.left_out[1]),
    }


def _plain_size(d: Difference, sizes: Sequence[SizeDifference]) -> dict[str, Any]:
    """Return the medians of a column without a radius; nothing for any other column."""
    own = [s for s in sizes if (s.setting, s.model, s.column) == (d.setting, d.model, d.column)]
    return {
        key: value
        for size in own
        for key, value in {
            "first_median_size": _finite(size.first),
            "second_median_size": _finite(size.second),
            "larger_first": size.larger_first,
            "larger_second": size.larger_second,
            "sign_test_p": size.p_value,
        }.items()
    }


def _finite(size: float) -> float | str:
    return "inf" if math.isinf(size) else size


def _in_words(size: SizeDifference) -> str:
    return (
        f"smallest {size.norm} change, {size.column} of {size.model}: median {size.first:.3g} in A, "
        f"{size.second:.3g} in B (all images); larger in A for {size.larger_first} of {size.n}, in B for "
        f"{size.larger_second} (sign test, p {size.p_value:.3g})"
    )


def _show(gaps: list[Difference], sizes: Sequence[SizeDifference]) -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    from robench.cli.console import one_line, output

    console = output()
    for setting in dict.fromkeys(d.setting for d in gaps):
        table = Table(title=Text(one_line(setting), style="bold"), title_justify="left", box=box.SIMPLE_HEAD)
        for name in ("Model", "Column"):
            table.add_column(name, overflow="fold")
        for name in ("A, %", "B, %", "Gap [95 %], points", "Only A", "Only B", "p", "n"):
            table.add_column(name, justify="right")
        for d in (d for d in gaps if d.setting == setting):
            low, high = d.interval
            table.add_row(
                Text(one_line(d.model)),
                Text(one_line(d.column)),
                f"{100 * d.first:.1f}",
                f"{100 * d.second:.1f}",
                Text(f"{100 * d.gap:+.1f} [{100 * low:+.1f}, {100 * high:+.1f}]"),
                str(d.only_first),
                str(d.only_second),
                f"{d.p_value:.3g}",
                str(d.n),
            )
        console.print(table)
    for line in (*map(_in_words, sizes), *(line for d in gaps for line in _narrowed(d))):
        typer.echo(one_line(line))
