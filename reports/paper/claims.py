"""The plugin: results on the paper's claim, by the paper's protocol and with all attacks of the runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import ClassVar

from rich.console import RenderableType
from rich.text import Text

from reports.board.run_folder import Readable, Run, read_run
from reports.paper.comparisons import CLEAN, HONEST, PUBLISHED, Comparison, comparisons, corrected
from reports.paper.models import our_models
from reports.paper.shortfalls import Shortfall, shortfalls
from reports.text import markdown, screen
from reports.text.escape import visible
from robench.errors import ConfigError
from robench.plurals import counted
from robench.recipe import Info
from robench.record.files import write_atomic
from robench.record.schema import Record

SURE = 0.05
"""Level of a corrected p-value below which a difference is not chance."""
HEADER = ("measured", "softmax", "other head", "seed", "softmax, %", "other, %", "gap [95 %]", "only softmax",
          "only other", "p", "p corrected", "n")  # fmt: skip
GAP_TITLE = "What the published protocol takes for robustness"
GAP_HEADER = ("model", "threat", "seed", "all attacks of the paper, %", "everything, %", "gap, points", "n")
_PROTOCOLS = {CLEAN: "clean images", PUBLISHED: "published way: ", HONEST: "everything that was run"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Claims:
    """Graph heads against softmax on equal networks, paired, with p-values corrected for their number.

    The claim of Wang & Osher 2019 is that the graph head is right more often: on clean images, and on
    attacked ones. Each pair of a softmax model and another head of the same architecture, trained on as many
    images, is compared on clean images, under every attack of the paper through its gradient (Eq. 24), and
    under everything that was run, image by image. Differences are tested by the exact McNemar test, and all
    p-values that are shown are corrected together by Holm's method.
    """

    info: ClassVar[Info] = Info(
        title="the paper's claim", paper="Wang & Osher 2019, arXiv:1907.06800; Holm 1979"
    )

    def render(self, records: Sequence[Record]) -> str:
        """Return the comparisons of some records as Markdown.

        Raises:
            ConfigError: no softmax model and other head to compare.
        """
        return _markdown([Run(records=tuple(records))])

    def render_runs(self, folders: Sequence[Path], readable: Sequence[Readable | None] = ()) -> str:
        """Return the comparisons of run folders, one for each seed, as Markdown.

        Raises:
            ConfigError: a folder is not a run, or there is nothing to compare.
        """
        return _markdown(_runs(folders, readable))

    def on_screen(
        self, folders: Sequence[Path], readable: Sequence[Readable | None] = ()
    ) -> list[RenderableType]:
        """Return the same for the terminal.

        Raises:
            ConfigError: as `render_runs`.
        """
        runs = _runs(folders, readable)
        pairs, gaps = _all(runs), _shortfalls(runs)
        parts: list[RenderableType] = [screen.table("Heads side by side", HEADER, _rows(pairs))]
        if gaps:
            parts.append(screen.table(GAP_TITLE, GAP_HEADER, _gap_rows(gaps)))
        return [*parts, Text(""), *(Text(visible(line)) for line in verdicts(pairs))]

    def __call__(self, records: Sequence[Record], folder: Path) -> list[Path]:
        """Write claims.md of a run folder and return its path.

        Raises:
            ConfigError: as `render`.
            StorageError: writing to disk failed; an older file is intact.
        """
        path = folder / "claims.md"
        write_atomic(path, _markdown([read_run(folder, (records, ()))]))
        return [path]


def verdicts(pairs: Sequence[Comparison]) -> list[str]:
    """Return a sentence for every pair of heads and protocol: whether the claim is seen in these numbers."""
    groups: dict[tuple[str, ...], list[Comparison]] = {}
    for pair in pairs:
        key = (pair.images, pair.softmax, pair.other, pair.protocol, pair.attack, pair.threat)
        groups.setdefault(key, []).append(pair)
    several = len({pair.images for pair in pairs}) > 1
    return [_verdict(group, several=several) for group in groups.values()]


def _verdict(group: Sequence[Comparison], *, several: bool) -> str:
    first = group[0]
    if lacks := list(dict.fromkeys(text for pair in group for text in pair.lacks)):
        what = f"{first.other} against {first.softmax}, {_measured(first, several=several)}"
        return f"{what}: no answer, for units of the plan are missing ({'; '.join(lacks)})."
    ahead = sum(pair.gap > 0 and pair.corrected < SURE for pair in group)
    behind = sum(pair.gap < 0 and pair.corrected < SURE for pair in group)
    if ahead == len(group):
        answer = "the claim holds here"
    elif behind == len(group):
        answer = "the opposite holds here"
    elif ahead and not behind:
        answer = f"the claim holds in {ahead} of {len(group)} trainings, the others are undecided"
    elif behind and not ahead:
        answer = f"the opposite holds in {behind} of {len(group)} trainings, the others are undecided"
    elif ahead:
        answer = "trainings contradict each other"
    else:
        answer = "undecided: no difference beyond chance"
    where = _measured(first, several=several)
    gaps = [pair.gap for pair in group]
    middle = f"{median(gaps):+.1f} points" + (f", median of {len(gaps)}" if len(gaps) > 1 else "")
    worst = max(pair.corrected for pair in group)
    return (
        f"{first.other} against {first.softmax}, {where}: {middle}; {answer} (corrected p up to {worst:.2g})."
    )


def _measured(pair: Comparison, *, several: bool) -> str:
    """Return what a comparison is about; the images too where there are `several` sets of them."""
    words = [_PROTOCOLS[pair.protocol] + pair.attack, pair.threat, pair.images if several else ""]
    return ", ".join(word for word in words if word)


def _rows(pairs: Sequence[Comparison]) -> list[list[str]]:
    several = len({pair.images for pair in pairs}) > 1
    return [_row(pair, several=several) for pair in pairs]


def _row(pair: Comparison, *, several: bool) -> list[str]:
    low, high = pair.interval
    return [
        _measured(pair, several=several) + (" (partial)" if pair.lacks else ""),
        pair.softmax,
        pair.other,
        str(pair.seed),
        f"{100 * pair.softmax_right / pair.n:.1f}",
        f"{100 * pair.other_right / pair.n:.1f}",
        f"{pair.gap:+.1f} [{low:+.1f}, {high:+.1f}]",
        str(pair.only_softmax),
        str(pair.only_other),
        f"{pair.p:.3g}",
        f"{pair.corrected:.3g}",
        str(pair.n),
    ]


def _gap_rows(gaps: Sequence[Shortfall]) -> list[list[str]]:
    several = len({gap.images for gap in gaps}) > 1
    return [
        [
            gap.model,
            gap.threat + (f", {gap.images}" if several else ""),
            str(gap.seed),
            f"{100 * gap.published / gap.n:.1f}",
            f"{100 * gap.honest / gap.n:.1f}",
            f"{gap.gap:.1f}",
            str(gap.n),
        ]
        for gap in gaps
    ]


def _shortfalls(runs: Sequence[Run]) -> list[Shortfall]:
    return [gap for run in runs for gap in shortfalls(our_models(run.records, run.trainings))]


def _markdown(runs: Sequence[Run]) -> str:
    pairs, gaps = _all(runs), _shortfalls(runs)
    rows = _rows(pairs)
    lines = [
        "## Heads side by side\n",
        markdown.table(HEADER, rows),
        "Paired on the same images; exact McNemar test, p-values of all "
        f"{counted(len(pairs), 'row')} corrected by Holm's method.\n",
        *(f"- {markdown.escape(line)}" for line in verdicts(pairs)),
    ]
    if gaps:
        lines += [f"\n## {GAP_TITLE}\n", markdown.table(GAP_HEADER, _gap_rows(gaps))]
    return "\n".join(lines) + "\n"


def _runs(folders: Sequence[Path], readable: Sequence[Readable | None]) -> list[Run]:
    from itertools import zip_longest

    return [read_run(folder, own) for folder, own in zip_longest(folders, readable)]


def _all(runs: Sequence[Run]) -> list[Comparison]:
    pairs = [pair for run in runs for pair in comparisons(our_models(run.records, run.trainings))]
    if not pairs:
        raise ConfigError(
            expected="a softmax model and another head on an equal network, judged on the same images",
            got="no such pair in these runs",
            do="`robench leaderboard RUN` shows what was measured",
        )
    return corrected(pairs)
