"""`python -m benchmarks.graph_heads RUN... [--figure FILE.svg]`: heads by two protocols.

The runs are those of the suite `mnist-gll`, or `mnist-gll-adversarial`, one for each seed. The published
attack of GLL (Brown et al. 2024, arXiv:2412.08016, by the authors' code) is IFGSM through the head's exact
derivative; everything is, image by image, the worst of all attacks through all gradient sources and of images
crafted on other models.
Every head is compared with softmax by the exact McNemar test, p-values of all pairs corrected together
(Holm).
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from reports.board.shares import right, robust, worst
from robench.errors import ConfigError
from robench.record.measures.statistics import holm, mcnemar
from robench.record.schema import Record
from robench.record.store import Store

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SOFTMAX = "softmax"
CLEAN, PUBLISHED, EVERYTHING = "clean", "published", "everything"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What one head of one run gets right.

    Attributes:
        model: its name.
        seed: of the run.
        eps: radius in words; empty for clean images.
        way: `clean`, `published` or `everything`.
        right: for every image (n,), in the order of the test set.
    """

    model: str
    seed: int
    eps: str
    way: str
    right: NDArray[np.bool_]

    @property
    def percent(self) -> float:
        """Share of the images in percent."""
        return 100 * float(self.right.mean())


def outcomes(records: Iterable[Record]) -> list[Outcome]:
    """Return what every head of a run gets right: clean, by the published attack, and by everything."""
    every = list(records)
    names = list(dict.fromkeys(record.target.name for record in every))
    radii = list(dict.fromkeys(r.threat.eps_text for r in every if r.attack.name != CLEAN and r.threat))
    results = []
    for name in names:
        own = [record for record in every if record.target.name == name]
        seed = own[0].seed
        clean = [record for record in own if record.attack.name == CLEAN]
        results.append(Outcome(model=name, seed=seed, eps="", way=CLEAN, right=_all(clean, right)))
        for eps in radii:
            attacks = [r for r in own if r.attack.name != CLEAN and r.threat and r.threat.eps_text == eps]
            theirs = [record for record in attacks if _is_published(record)]
            for way, part in ((PUBLISHED, theirs), (EVERYTHING, attacks)):
                if part:
                    results.append(Outcome(model=name, seed=seed, eps=eps, way=way, right=_all(part, robust)))
    return results


def _all(records: Sequence[Record], verdict: Callable[[Record], NDArray[np.bool_]]) -> NDArray[np.bool_]:
    """Return what is right of every image of the test set (n,), in its order.

    Raises:
        ConfigError: some images are missing, so that heads would be compared on others.
    """
    images, outcome = worst(records, verdict)
    if len(images) != records[0].dataset.n:
        got = f"{len(images)} of {records[0].dataset.n} images of {records[0].target.name}"
        raise ConfigError(where="run", expected="a finished run", got=got, do="Run the same command again")
    return outcome


def _is_published(record: Record) -> bool:
    """Tell whether a record is of the authors' attack: on the model itself, by its exact derivative."""
    return (
        record.attack.label.endswith("(published)")
        and record.source.name == record.target.name
        and record.source.gradient_source == "exact"
    )


def report(results: Sequence[Outcome]) -> str:
    """Return the table of medians over seeds, and how every head compares with softmax."""
    models = list(dict.fromkeys(o.model for o in results))
    radii = [eps for eps in dict.fromkeys(o.eps for o in results) if eps]
    columns = [("", CLEAN), *((eps, way) for eps in radii for way in (PUBLISHED, EVERYTHING))]
    lines = [
        "| head | clean | " + " | ".join(f"{eps}: {way}" for eps, way in columns[1:]) + " |",
        "| --- " * (len(columns) + 1) + "|",
    ]
    for model in models:
        cells = []
        for eps, way in columns:
            shares = [o.percent for o in results if (o.model, o.eps, o.way) == (model, eps, way)]
            cells.append(f"{median(shares):.1f} ({min(shares):.1f} to {max(shares):.1f})" if shares else "-")
        lines.append(f"| {model} | " + " | ".join(cells) + " |")
    return "\n".join([*lines, "", *_compared(results, models, columns)]) + "\n"


def _compared(
    results: Sequence[Outcome], models: Sequence[str], columns: Sequence[tuple[str, str]]
) -> list[str]:
    """Return a row for every head, radius and way: better or worse than softmax in how many seeds."""
    softmax = {(o.seed, o.eps, o.way): o for o in results if o.model == SOFTMAX}
    pairs = [
        (o, softmax[o.seed, o.eps, o.way])
        for o in results
        if o.model != SOFTMAX and (o.seed, o.eps, o.way) in softmax
    ]
    p_values = holm(
        [mcnemar(int((s.right & ~o.right).sum()), int((o.right & ~s.right).sum())) for o, s in pairs]
    )
    lines = [
        f"Against softmax, {len(pairs)} paired tests corrected together (Holm), level 0.05; seeds:",
        "",
        "| head | radius | measured | gap, points (median) | better | worse | undecided |",
        "| --- " * 7 + "|",
    ]
    for model in models:
        for eps, way in columns:
            own = [
                (o.percent - s.percent, p)
                for (o, s), p in zip(pairs, p_values, strict=True)
                if (o.model, o.eps, o.way) == (model, eps, way)
            ]
            if own:
                better = sum(gap > 0 and p < 0.05 for gap, p in own)
                worse = sum(gap < 0 and p < 0.05 for gap, p in own)
                middle = median(gap for gap, _ in own)
                rest = len(own) - better - worse
                lines.append(
                    f"| {model} | {eps or '-'} | {way} | {middle:+.1f} | {better} | {worse} | {rest} |"
                )
    return lines


def draw(results: Sequence[Outcome], path: Path) -> None:
    """Draw a line for every head from what the published attack leaves to what everything leaves.

    Args:
        results: of all runs.
        path: of the SVG file.
    """
    from matplotlib.figure import Figure

    from reports.figures.style import INK, SOFT, styled

    radii = [eps for eps in dict.fromkeys(o.eps for o in results) if eps]
    models = list(dict.fromkeys(o.model for o in results if o.way == PUBLISHED))[::-1]
    with styled():
        figure = Figure(figsize=(2.4 * len(radii) + 1, 1.3 + 0.34 * len(models)), layout="constrained")
        for place, eps in enumerate(radii):
            axes = figure.add_subplot(1, len(radii), place + 1)
            for row, model in enumerate(models):
                ends = [_middle(results, model, eps, way) for way in (PUBLISHED, EVERYTHING)]
                axes.plot(ends, [row, row], color=SOFT, linewidth=2, zorder=2)
                axes.scatter(ends[0], row, facecolor="white", edgecolor=INK, zorder=3)
                axes.scatter(ends[1], row, color=INK, zorder=3)
            axes.set_yticks(range(len(models)), models if place == 0 else [""] * len(models))
            axes.set_xlim(-3, 83)
            axes.set_title(f"Linf {eps}")
        figure.supxlabel(
            "right in percent: under the published attack (hollow), under everything (full)", fontsize=9
        )
        figure.savefig(path, format="svg", metadata={"Date": None})


def _middle(results: Sequence[Outcome], model: str, eps: str, way: str) -> float:
    return median(o.percent for o in results if (o.model, o.eps, o.way) == (model, eps, way))


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the runs, print the tables and draw the figure."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.graph_heads", description=__doc__)
    parser.add_argument("runs", nargs="+", type=Path, help="run folders of one of these suites")
    parser.add_argument("--figure", type=Path, help="an SVG file to write")
    options = parser.parse_args(arguments)
    results = [o for run in options.runs for o in outcomes(Store(run).read_records())]
    print(report(results))
    if options.figure:
        draw(results, options.figure)


if __name__ == "__main__":
    main()
