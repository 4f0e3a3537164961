"""Names of the gradient sources of a defended model. No torch here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

UNDEFENDED = "undefended"
"""The source that ignores the defense: ignoring it is often enough to beat a weak transform."""

Way = Literal["bpda", "eot", "adaptive"]
WAYS: tuple[Way, ...] = ("bpda", "eot", "adaptive")
"""How a source bypasses a defense, each including the previous ones: through a transform without a useful
gradient, in expectation over its randomness, for several versions of the image at once."""


def defended_names(beneath: Sequence[str], way: Way) -> dict[str, str]:
    """Return the new names of a model's gradient sources behind a defense: `bpda/exact`, `eot/linear`, ...

    A second defense in front of the first does not make names longer. The source that ignores a defense has
    no name here.

    Args:
        beneath: names of the sources of the undefended model.
        way: how the defense is attacked.

    Example:
        >>> defended_names(["exact", "bpda/kernel"], "eot")
        {'exact': 'eot/exact', 'bpda/kernel': 'eot/kernel'}
    """
    names = {}
    for name in beneath:
        if name == UNDEFENDED:
            continue
        before, _, rest = name.partition("/")
        if rest and before in WAYS:
            names[name] = f"{max(before, way, key=WAYS.index)}/{rest}"
        else:
            names[name] = f"{way}/{name}"
    return names


def offered_sources(beneath: Sequence[str], way: Way) -> tuple[str, ...]:
    """Return the names of all gradient sources of a defended model."""
    return (*defended_names(beneath, way).values(), UNDEFENDED)
