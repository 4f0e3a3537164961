"""`python -m benchmarks.re_evaluation RUN...`: the tables of docs/wnll-re-evaluation.md from run folders.

Runs of several seeds are laid side by side; runs of the suites `wnll-re-evaluation` and
`wnll-re-evaluation-published` of the same seed are put together.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from robench.record.measures.statistics import discordant, gap_interval, mcnemar, wilson
from robench.record.schema import Record, Status
from robench.record.store import Store

Verdicts = dict[int, bool]
"""Index of an image to whether the model is right about it."""

Column = tuple[str, str]
"""Label of an attack and gradient source; `TRANSFER` stands in place of a source."""

TRANSFER = "transfer"
CLEAN, WORST = ("clean", ""), ("worst case", "image by image, over everything")
ADAPTIVE = ("adaptive", "adaptive")

PAIRS = (
    (
        "The claim, measured the published way: WNLL (published head) against softmax, same features",
        ("softmax", ("published", "published")),
        ("softmax-published", ("published", "published")),
    ),
    (
        "The same for the twin trained for WNLL",
        ("softmax", ("published", "published")),
        ("trained-published", ("published", "published")),
    ),
    ("Honest: WNLL against softmax, same features, worst case", ("softmax", WORST), ("softmax-wnll", WORST)),
    ("Honest: the twin trained for WNLL against softmax", ("softmax", WORST), ("trained-wnll", WORST)),
    (
        "What the published attack hides: worst case against published attack, same features",
        ("softmax-wnll", ("published", "published")),
        ("softmax-wnll", WORST),
    ),
    (
        "The same for the twin trained for WNLL",
        ("trained-wnll", ("published", "published")),
        ("trained-wnll", WORST),
    ),
)


def main() -> None:
    """Print the tables of the run folders named on the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.re_evaluation", description=__doc__)
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="run folder")
    records = [record for run in parser.parse_args().runs for record in Store(run).read_records()]
    print("\n".join(report(records)))


def report(records: Iterable[Record]) -> list[str]:
    """Return the Markdown lines: every column over seeds, then the paired differences seed by seed.

    A model that the adaptive attack was not run on has no worst case.
    """
    seeds: dict[int, dict[str, dict[Column, Verdicts]]] = {}
    for record in {record.key: record for record in records}.values():
        _note(seeds.setdefault(record.seed, {}), record)
    for models in seeds.values():
        for own in models.values():
            if ADAPTIVE not in own:
                own.pop(WORST, None)
    return [*_columns(seeds), "", *_gaps(seeds)]


def _note(models: dict[str, dict[Column, Verdicts]], record: Record) -> None:
    """Enter a record under its model: into its own column, and into the worst case over everything."""
    columns = models.setdefault(record.target.name, {})
    label = record.attack.label
    if label == CLEAN[0]:
        places = [CLEAN]
    elif record.white_box:
        places = [(label, record.source.gradient_source), WORST]
    else:
        places = [(TRANSFER, f"from {record.source.name}"), WORST]
    for place in places:
        verdicts = columns.setdefault(place, {})
        for index, status in zip(record.columns.index, record.columns.status, strict=True):
            verdicts[index] = verdicts.get(index, True) and status == Status.ROBUST


def _columns(seeds: Mapping[int, Mapping[str, Mapping[Column, Verdicts]]]) -> Iterator[str]:
    names = list(dict.fromkeys(name for models in seeds.values() for name in models))
    columns = dict.fromkeys(c for models in seeds.values() for own in models.values() for c in own)
    last = [column for column in columns if column == WORST]
    transfer = [column for column in columns if column[0] == TRANSFER]
    rows = [c for c in columns if c not in (*last, *transfer)] + transfer + last
    yield f"Accuracy in percent, mean over seeds {', '.join(map(str, sorted(seeds)))} (each seed's)."
    yield ""
    yield "| attack | gradient source | " + " | ".join(names) + " |"
    yield "| --- | --- |" + " --- |" * len(names)
    for label, source in rows:
        entries = [
            _entry([seeds[s].get(name, {}).get((label, source)) for s in sorted(seeds)]) for name in names
        ]
        yield f"| {label} | {source} | " + " | ".join(entries) + " |"


def _entry(seeds: list[Verdicts | None]) -> str:
    shares = [100 * sum(v.values()) / len(v) for v in seeds if v]
    if not shares:
        return ""
    each = ", ".join(f"{share:.1f}" for share in shares)
    return f"{sum(shares) / len(shares):.1f} ({each})" if len(shares) > 1 else each


def _gaps(seeds: Mapping[int, Mapping[str, Mapping[Column, Verdicts]]]) -> Iterator[str]:
    yield "Paired, image by image: second minus first in points, with its score interval (95 %), and the"
    yield "exact McNemar test; in brackets behind an accuracy its Wilson interval (95 %)."
    for title, (one, first), (two, second) in PAIRS:
        yield from ["", f"**{title}** ({one}, {first[0]} -> {two}, {second[0]})", ""]
        yield "| seed | first | second | gap, points | only first | only second | p | n |"
        yield "| --- | --- | --- | --- | --- | --- | --- | --- |"
        for seed in sorted(seeds):
            left, right = seeds[seed].get(one, {}).get(first), seeds[seed].get(two, {}).get(second)
            if left and right and (images := sorted(left.keys() & right.keys())):
                yield _difference(seed, [left[i] for i in images], [right[i] for i in images])


def _difference(seed: int, left: list[bool], right: list[bool]) -> str:
    only_first, only_second = discordant(left, right)
    low, high = gap_interval(len(left), only_first, only_second)
    gap = 100 * (only_second - only_first) / len(left)
    p = mcnemar(only_first, only_second)
    return (
        f"| {seed} | {_with_interval(left)} | {_with_interval(right)} | {gap:+.1f} [{100 * low:+.1f}, "
        f"{100 * high:+.1f}] | {only_first} | {only_second} | {p:.3g} | {len(left)} |"
    )


def _with_interval(verdicts: list[bool]) -> str:
    low, high = wilson(sum(verdicts), len(verdicts))
    return f"{100 * sum(verdicts) / len(verdicts):.1f} [{100 * low:.1f}, {100 * high:.1f}]"


if __name__ == "__main__":
    main()
