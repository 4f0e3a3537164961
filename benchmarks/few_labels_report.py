"""Accuracy of heads by number of labels: the tables, paired tests and figure of `benchmarks.few_labels`.

Results are, by number of labels, one mapping for each seed from head to what it measured: `right`, a 1 or 0
for each test image, and `setting`, the one chosen on validation images.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from robench.record.measures.statistics import holm, mcnemar

SOFTMAX = "softmax"
Results = Mapping[int, Sequence[Mapping[str, Any]]]


def report(results: Results) -> str:
    """Return the tables: accuracy by labels and head, and every head against softmax."""
    heads = list(dict.fromkeys(head for ones in results.values() for one in ones for head in one))
    lines = [
        "| labels | " + " | ".join(heads) + " |",
        "| --- |" + " --- |" * len(heads),
    ]
    for labels, ones in results.items():
        cells = []
        for head in heads:
            shares = [_percent(one[head]) for one in ones if head in one]
            cells.append(f"{median(shares):.1f} ({min(shares):.1f} to {max(shares):.1f})" if shares else "-")
        lines.append(f"| {labels:,} | " + " | ".join(cells) + " |")
    tests = [
        (labels, seed, head, *_discordant(one[SOFTMAX]["right"], one[head]["right"]), one[head]["setting"])
        for labels, ones in results.items()
        for seed, one in enumerate(ones)
        for head in heads
        if head in one and head != SOFTMAX
    ]
    p_values = holm([mcnemar(a, b) for *_, a, b, _ in tests])
    lines += ["", f"Of {len(tests)} paired tests, corrected together (Holm), below 0.05:", ""]
    lines += [
        "| labels | head | better than softmax | worse | undecided | settings chosen |",
        "| --- " * 6 + "|",
    ]
    for labels in results:
        for head in heads[1:]:
            own = [(t, p) for t, p in zip(tests, p_values, strict=True) if t[0] == labels and t[2] == head]
            if own:
                better = sum(t[4] > t[3] and p < 0.05 for t, p in own)
                worse = sum(t[4] < t[3] and p < 0.05 for t, p in own)
                settings = ", ".join(dict.fromkeys(t[5].removeprefix(head).strip() for t, _ in own))
                rest = len(own) - better - worse
                lines.append(f"| {labels:,} | {head} | {better} | {worse} | {rest} | {settings} |")
    return "\n".join(lines) + "\n"


def _discordant(first: str, second: str) -> tuple[int, int]:
    pairs = list(zip(first, second, strict=True))
    return pairs.count(("1", "0")), pairs.count(("0", "1"))


def _percent(result: Mapping[str, Any]) -> float:
    answers = result["right"]
    return 100 * float(answers.count("1")) / len(answers)


def draw(results: Results, path: Path) -> None:
    """Draw the difference of every head from softmax against the number of labels, a panel a head.

    Dots are seeds, the line joins their medians.

    Args:
        results: of all numbers of labels.
        path: of the SVG file.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import NullLocator

    from reports.figures.style import INK, SOFT, styled

    heads = list(dict.fromkeys(h for ones in results.values() for one in ones for h in one if h != SOFTMAX))
    columns = min(3, len(heads))
    rows = -(-len(heads) // columns)
    counts = sorted(results)
    with styled():
        figure = Figure(figsize=(2.6 * columns + 0.6, 1.9 * rows + 0.6), layout="constrained")
        panels = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).ravel()
        for axes, head in zip(panels, heads, strict=False):
            gaps = {
                labels: [
                    _percent(one[head]) - _percent(one[SOFTMAX]) for one in results[labels] if head in one
                ]
                for labels in counts
            }
            axes.axhline(0, color=SOFT, linewidth=1, zorder=1)
            for labels, values in gaps.items():
                axes.scatter([labels] * len(values), values, facecolor="white", edgecolor=INK, s=14, zorder=2)
            line = [(labels, median(values)) for labels, values in gaps.items() if values]
            axes.plot(*zip(*line, strict=True), color=INK, linewidth=1.5, zorder=3)
            axes.set_title(head)
            axes.set_xscale("log")
            axes.set_xticks(counts, [f"{count:,}" for count in counts])
            axes.xaxis.set_minor_locator(NullLocator())
        for axes in panels[len(heads) :]:
            axes.set_visible(False)
        figure.supxlabel("labels", fontsize=9)
        figure.supylabel("accuracy minus that of softmax, points", fontsize=9)
        figure.savefig(path, format="svg", metadata={"Date": None})
