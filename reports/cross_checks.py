"""Doubts that only show when results are laid side by side: a weaker attacker that does better.

Athalye et al. 2018 (arXiv:1802.00420, section 3.1) and Carlini et al. 2019 (arXiv:1902.06705, section 3.2):
black box must not beat white box, and more steps must not break fewer images. Both are asked of paired
images, beyond chance (exact McNemar, 5 %). Without a radius neither is asked: a larger perturbation proves
nothing.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise

from reports.boards import Doubt
from reports.samples import Samples, attack_of, model_of
from robench.record import Record, Status
from robench.statistics import SIGNIFICANCE, discordant, mcnemar

BLACK_BOX = "black-box-stronger"
MORE_STEPS = "more-steps-weaker"

Standing = dict[int, bool]
"""Image to whether it stands against everything in question."""


def cross_checks(samples: Samples, target: str) -> tuple[Doubt, ...]:
    """Return what the records of a board, side by side, say against one model's number.

    Args:
        samples: the board.
        target: identity of the model.
    """
    if math.isinf(samples.setting[5]):
        return ()
    mine = [r for r in samples.attacked if model_of(r.target) == target]
    white = [r for r in mine if model_of(r.source) == target]
    name = samples.names[target]
    return (*_black_box(name, white, mine, samples, target), *_more_steps(name, white, samples))


def _black_box(
    name: str, white: Sequence[Record], mine: Sequence[Record], samples: Samples, target: str
) -> Iterator[Doubt]:
    """Find another model whose images alone break more of this one than all that was crafted on it."""
    own = _standing(white)
    found = []
    for source in dict.fromkeys(model_of(r.source) for r in mine):
        if source == target or not own:
            continue
        theirs = _standing([r for r in mine if model_of(r.source) == source])
        if (p := _weaker(own, theirs)) is not None:
            gap = sum(own.values()) - sum(theirs[i] for i in own if i in theirs)
            found.append((gap, samples.names[source], p))
    if found:
        gap, source, p = max(found)
        yield Doubt(
            model=name,
            code=BLACK_BOX,
            count=len(found),
            evidence=f"images crafted on {source} break {gap} more than those crafted on it (p = {p:.2g})",
            remedy="Its gradients mislead: attack through other gradient sources, or without gradients",
        )


def _more_steps(name: str, white: Sequence[Record], samples: Samples) -> Iterator[Doubt]:
    """Find an attack that breaks fewer images with more steps, all else equal."""
    groups: dict[tuple[str, str, str], dict[int, list[Record]]] = {}
    for record in white:
        options = dict(record.attack.get("options") or {})
        steps = options.pop("steps", None)
        if isinstance(steps, int):
            rest = repr(sorted(options.items()))
            place = (str(record.attack.get("name")), rest, str(record.source.get("gradient_source")))
            groups.setdefault(place, {}).setdefault(steps, []).append(record)
    found = []
    for runs in groups.values():
        order = sorted(runs)
        for fewer, more in pairwise(order):
            if (p := _weaker(_standing(runs[more]), _standing(runs[fewer]))) is not None:
                label = samples.labels[attack_of(runs[more][0])]
                found.append((label, fewer, more, p))
    if found:
        label, fewer, more, p = found[0]
        yield Doubt(
            model=name,
            code=MORE_STEPS,
            count=len(found),
            evidence=f"{label}: {more} steps break fewer images than {fewer} (p = {p:.2g})",
            remedy="The attack does not converge: choose a smaller or a falling step size",
        )


def _standing(records: Sequence[Record]) -> Standing:
    """Return which images stand against all of these records."""
    standing: Standing = {}
    for record in records:
        for index, status in zip(record.columns.index, record.columns.status, strict=True):
            standing[index] = standing.get(index, True) and status == Status.ROBUST
    return standing


def _weaker(first: Standing, second: Standing) -> float | None:
    """Return the p-value if the first attacker left significantly more images standing than the second."""
    images = sorted(first.keys() & second.keys())
    only_first, only_second = discordant([first[i] for i in images], [second[i] for i in images])
    p = mcnemar(only_first, only_second)
    return p if only_first > only_second and p < SIGNIFICANCE else None
