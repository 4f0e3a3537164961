"""Names of columns of CSV files whose labels users choose: no two are alike."""

from __future__ import annotations

from collections.abc import Sequence

ENDS = ("", " low", " high")
"""Of the columns of a share and of the ends of its interval."""


def share_columns(kind: str, labels: Sequence[str]) -> list[str]:
    """Return three names for each label, such as `attack: pgd`, `attack: pgd low` and `attack: pgd high`.

    A label that contains the names of a shorter label, as `pgd low` beside `pgd`, is in quotes.

    Args:
        kind: what the labels are of.
        labels: no two of them alike.
    """
    own: dict[str, list[str]] = {}
    names_so_far: set[str] = set()
    for label in sorted(labels, key=lambda text: (len(text), text)):
        text = label
        while names_so_far & {f"{text}{end}" for end in ENDS}:
            text = f'"{text}"'
        own[label] = [f"{text}{end}" for end in ENDS]
        names_so_far.update(own[label])
    return [f"{kind}: {name}" for label in labels for name in own[label]]
