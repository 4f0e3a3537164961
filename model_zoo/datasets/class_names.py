"""The label of each class folder: numbers are in numeric order, other names in alphabetical order."""

from __future__ import annotations

import logging
import re
from collections import Counter
from collections.abc import Collection, Sequence
from itertools import pairwise

from robench.errors import ConfigError, InputError

_LOG = logging.getLogger(__name__)
_NUMBER = re.compile(r"[0-9]+")


def check_classes(classes: int | Sequence[str | int] | None) -> None:
    """Refuse an option `classes` that is neither a count from 2 nor a list of different names.

    Raises:
        ConfigError: fewer than two, another type, or a name twice.
    """
    if isinstance(classes, int):
        if classes < 2:
            raise ConfigError(expected="classes: at least 2", got=str(classes))
        return
    names = [str(name) for name in classes or ()]
    twice = [name for name, count in Counter(names).items() if count > 1]
    if classes is not None and (not names or twice):
        got = f"{twice[0]!r} twice" if twice else "none"
        raise ConfigError(expected="classes: a number, or different names in label order", got=got)


def ordered(names: Collection[str], *, where: str) -> list[str]:
    """Return the names of classes in label order.

    Names that are all numbers (digits 0 to 9 alone, with leading zeros or not) are in the order of numbers.
    Otherwise all are in the order of text, as torchvision sorts them. A warning says which order was taken
    where the two differ, and that numbers are not 0, 1, 2, ...: a label is a place in this order.

    Raises:
        InputError: two names are the same number.
    """
    text = sorted(names)
    if not text or not all(_NUMBER.fullmatch(name) for name in text):
        natural = sorted(text, key=_natural)
        if natural != text:
            first = next(i for i, (a, b) in enumerate(zip(text, natural, strict=True)) if a != b)
            what = "%s: class folders are in the order of text, so label %d is %r (counting, it would be %r)"
            _LOG.warning(what, where, first, text[first], natural[first])
        return text
    numbers = sorted(text, key=int)
    for one, other in pairwise(numbers):
        if int(one) == int(other):
            got = f"{one!r} and {other!r}"
            do = "Put their pictures into one folder"
            raise InputError(where=where, expected="class folders of different numbers", got=got, do=do)
    if numbers != text:
        what = "%s: class folders are in the order of numbers (%s); torchvision sorts them as text"
        _LOG.warning(what, where, ", ".join([*numbers[:3], "...", numbers[-1]]))
    if int(numbers[0]) != 0 or int(numbers[-1]) != len(numbers) - 1:
        label = next(i for i, name in enumerate(numbers) if int(name) != i)
        what = (
            "%s: class folders are not 0 to %d: %s has label %d, its place; `classes: N` makes numbers labels"
        )
        _LOG.warning(what, where, len(numbers) - 1, numbers[label], label)
    return numbers


def labels_of(names: Collection[str], classes: int | Sequence[str], *, where: str) -> dict[str, int]:
    """Return the label of each name; the number of classes, or their names, are known.

    Args:
        names: names of the folders.
        classes: how many, if each name is its label; or all names, in label order.
        where: for the message.

    Raises:
        InputError: a name is neither a number below `classes` nor one of its names, or two names are the
            same number.
    """
    labels: dict[str, int] = {}
    numbers = set[int]()
    places = {} if isinstance(classes, int) else {name: place for place, name in enumerate(classes)}
    for name in sorted(names):
        if isinstance(classes, int):
            label = int(name) if _NUMBER.fullmatch(name) else -1
            if not 0 <= label < classes:
                expected, do = f"class folders from 0 to {classes - 1}", "List the names in `classes`"
                raise InputError(where=where, expected=expected, got=repr(name), do=do)
        else:
            if name not in places:
                do = "Add it, or move the folder away"
                expected = "class folders that `classes` names"
                raise InputError(where=where, expected=expected, got=repr(name), do=do)
            label = places[name]
        if label in numbers:
            expected = "class folders of different numbers"
            raise InputError(where=where, expected=expected, got=f"{name!r} and another {label}")
        labels[name] = label
        numbers.add(label)
    return labels


def _natural(name: str) -> list[tuple[int, int]]:
    """Return a sorting key that is that of text, but for runs of ASCII digits, which count as numbers."""
    parts = re.findall("[0-9]+|[^0-9]", name)
    return [(ord("0"), int(part)) if _NUMBER.fullmatch(part) else (ord(part), 0) for part in parts]
