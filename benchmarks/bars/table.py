"""The table of bars: what was measured stays with the machine and versions it was measured on."""

from __future__ import annotations

import csv
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path

import torch

from robench.machine import hardware, versions


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One bar: what was measured, and whether it is met.

    Attributes:
        work: attack, network, images.
        against: the rival.
        bar: what is wanted.
        figure: the median of the pairwise ratios.
        spread: the smallest and the largest of them.
        seconds: medians of processor time, ours and the rival's.
        robust: images that stay robust by our judge, ours and the rival's.
        size: median L2 of the broken, ours and the rival's.
        met: whether the bar is met.
    """

    work: str
    against: str
    bar: str
    figure: str
    spread: str
    seconds: str
    robust: str
    size: str
    met: str


def ratio_row(
    work: str,
    against: str,
    bar: float,
    pairs: Sequence[float],
    *,
    at_most: bool = False,
    seconds: str = "-",
    robust: str = "-",
    size: str = "-",
) -> Row:
    """Return a row of pairwise ratios, of which the median is compared with a bar.

    Args:
        work: attack, network, images.
        against: the rival.
        bar: what the median has to reach.
        pairs: the ratio of every round.
        at_most: whether the bar must not be passed, rather than be reached.
        seconds: medians of processor time, ours and the rival's.
        robust: images that stay robust, ours and the rival's.
        size: median L2 of the broken, ours and the rival's.
    """
    figure = statistics.median(pairs)
    return Row(
        work=work,
        against=against,
        bar=f"{'≤' if at_most else '≥'} {bar}",
        figure=f"{figure:.2f}",
        spread=f"{min(pairs):.2f} to {max(pairs):.2f}",
        seconds=seconds,
        robust=robust,
        size=size,
        met="yes" if (figure <= bar if at_most else figure >= bar) else "no",
    )


def this_machine() -> str:
    """Return processor and versions."""
    packages = {name: version for name, version in versions().items() if version != "absent"}
    processor = f"{hardware('cpu')['machine']} ({torch.backends.cpu.get_cpu_capability()})"
    return f"{processor}, one thread; {', '.join(f'{k} {v}' for k, v in packages.items())}"


def kept(folder: Path) -> dict[str, dict[tuple[str, str], Row]]:
    """Return what was measured before, by machine, work and rival."""
    path = folder / "results.csv"
    rows: dict[str, dict[tuple[str, str], Row]] = {this_machine(): {}}
    if path.is_file():
        with path.open(newline="", encoding="utf-8") as file:
            for line in csv.DictReader(file):
                own = rows.setdefault(line.pop("machine"), {})
                own[line["work"], line["against"]] = Row(**line)
    return rows


def written(rows: Mapping[str, Mapping[tuple[str, str], Row]], folder: Path) -> list[str]:
    """Write rows by machine into `RESULTS.md` and `results.csv` of a folder; return the former's lines."""
    names = [field.name for field in fields(Row)]
    with (folder / "results.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow([*names, "machine"])
        for machine, own in rows.items():
            table.writerows([*astuple(row), machine] for row in own.values())
    lines = [
        "# Bars of speed",
        "",
        "Made by `python -m benchmarks bars --data-root DIR`: one thread, processor time, rivals in turn.",
        "The figure is the median of the pairwise ratios (rival / ours; of bars that begin with ≤, ours /",
        "rival), or what the row says. Where two numbers stand, the first is ours.",
    ]
    for machine, own in rows.items():
        if own:
            lines += [
                "",
                f"Machine: {machine}.",
                "",
                "| " + " | ".join(names) + " |",
                "|" + "---|" * len(names),
            ]
            lines += ["| " + " | ".join(astuple(row)) + " |" for row in own.values()]
    (folder / "RESULTS.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return lines
