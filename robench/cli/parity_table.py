"""What `robench parity` shows: a table, remarks on single images and on compute, or plain data."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any

from robench.cli.console import one_line

if TYPE_CHECKING:
    from robench.audit.parity import Version

SHOWN = 20
"""Most images listed for one group on the screen."""
UNEQUAL = 1.1
"""By what factor passes may differ and still be called equal compute."""


def plain(v: Version) -> dict[str, Any]:
    """Return a version as plain data, its images by their indices in the split."""
    rows = list(zip(v.index, v.stands, v.silent, strict=True))
    return {
        "version": v.name,
        "n": v.n,
        "robust": v.robust,
        "returned_robust": v.returned,
        "alone": v.alone,
        "missed": v.missed,
        "mcnemar_p": v.p_value,
        "weaker": v.weaker,
        "passes_per_image": v.passes,
        "most_passes": v.most,
        "seconds": v.seconds,
        "median_size": v.median,
        "robust_images": [index for index, stands, _ in rows if stands],
        "silent_images": [index for index, _, silent in rows if silent],
        "images": [index for index, _, _ in rows],
    }


def remarks(versions: list[Version], ours: str) -> list[str]:
    """Return who broke which images where versions differ, and where compute was not equal."""
    from robench.audit.parity import disputed

    lines = []
    for names, images in disputed(versions).items():
        others = [v.name for v in versions if v.name not in names]
        listing = ", ".join(map(str, images[:SHOWN]))
        more = f" and {len(images) - SHOWN} more (--format json)" if len(images) > SHOWN else ""
        text = f"Broken by {', '.join(names)}, not by {', '.join(others)}: {len(images)}: {listing}{more}"
        lines += textwrap.wrap(text, 100, subsequent_indent="  ")
    for v in versions:
        if silent := sum(v.silent):
            lines.append(
                f"{v.name} met {silent} adversarial points that it did not return; they count as broken."
            )
    base = next((v.most for v in versions if v.name == ours), 0.0)
    for v in versions:
        if base and not 1 / UNEQUAL <= v.most / base <= UNEQUAL:
            lines.append(
                f"{v.name} spent up to {v.most:.0f} passes on an image, {ours} up to {base:.0f}: "
                "not at equal compute."
            )
    return lines


def show(title: str, versions: list[Version]) -> None:
    """Print the versions as a table, strongest first."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    from robench.cli.console import output
    from robench.record.measures.statistics import wilson

    table = Table(title=Text(one_line(title), style="bold"), title_justify="left", box=box.SIMPLE_HEAD)
    table.add_column("Version", no_wrap=True)
    for name in (
        "Robust, % [95 %]",
        "Returned, %",
        "Only it broke",
        "Missed",
        "Median size",
        "Passes/image",
        "s",
        "p",
        "",
    ):
        table.add_column(name, justify="right")
    for v in versions:
        low, high = wilson(v.robust, v.n)
        table.add_row(
            v.name,
            Text(f"{100 * v.robust / v.n:.1f} [{100 * low:.1f}, {100 * high:.1f}]"),
            f"{100 * v.returned / v.n:.1f}",
            str(v.alone),
            str(v.missed),
            "-" if v.median is None else f"{v.median:.4g}",
            f"{v.passes:.0f}",
            f"{v.seconds:.1f}",
            f"{v.p_value:.3g}",
            Text("weaker" if v.weaker else "", style="yellow"),
        )
    output().print(table)
