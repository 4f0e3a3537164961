"""A library's version of an attack that is weaker than ours with the same options."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from reports.board.boards import Doubt
from reports.board.cross_checks import Comparison, by_attack, doubt
from reports.board.paired_images import standing
from reports.board.samples import Samples, model_of
from robench.record.parts import RecordedAttack
from robench.record.schema import Record

LIBRARY = "library-weaker"

THEIRS = {"loss": "cross_entropy"}
"""What the libraries' versions have no option for, and what they do."""


def library_checks(samples: Samples, target: str) -> tuple[Doubt, ...]:
    """Return whether a library's version of one of our attacks broke fewer of a model's images."""
    white = [r for r in samples.attacked if model_of(r.target) == target and model_of(r.source) == target]
    remedy = "Trust the stronger of the two, and see `robench parity` for who broke which images"
    found = doubt(samples.names[target], LIBRARY, _pairs(white, samples), remedy)
    return (found,) if found else ()


def _pairs(white: Sequence[Record], samples: Samples) -> Iterator[Comparison]:
    groups = list(by_attack(white).values())
    for ours in groups:
        for theirs in groups:
            if _versions(ours[0].attack, theirs[0].attack):
                label = samples.labels
                first, second = (label[next(iter(by_attack(g)))] for g in (theirs, ours))
                text = f"{first} breaks {{gap}} fewer images than {second}, with the same options"
                yield Comparison(text, standing(theirs), standing(ours))


def _versions(ours: RecordedAttack, theirs: RecordedAttack) -> bool:
    """Tell whether these are our and a library's version of one attack with equal options.

    A library's version bears our title, with the library behind it in brackets. Options that only one of them
    has must be what the other does.
    """
    if ours.library != "robench" or theirs.library == "robench":
        return False
    if not ours.title or theirs.title.rpartition(" (")[0] != ours.title:
        return False
    mine, other = ours.options, theirs.options
    shared = mine.keys() & other.keys()
    return all(mine[k] == other[k] for k in shared) and all(mine.get(k, v) == v for k, v in THEIRS.items())
