"""Lifts findings that cannot change a row by more than its interval."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from reports.board.attack_kinds import (
    is_control,
    is_one_step,
    is_proper,
    overcome_flat_scores,
    uses_gradients,
)
from reports.board.identities import attack_of, by_attack
from reports.board.paired_images import count, standing_images, weakness
from reports.board.unlifted_findings import WEAK
from robench.record.measures.statistics import SIGNIFICANCE, wilson
from robench.record.schema import Record
from robench.record.status import BROKEN, ROBUST

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

UNSETTLED = "not-converged"
UNREACHABLE = "unreachable"
FLAT = "flat-output"

LEAST_STEPS = 10
"""Fewer steps are too few to compare with a stronger attack or to extrapolate."""

TWICE = 2
"""A stronger attack must use at least so many times the passes."""

BENT = 0.75
"""A loss levels off if its late share is at most this part of that of a linear rise."""

WINDOW = 10
"""Number of last steps that count as late; a quarter of fewer than four times as many (docs/findings.md)."""

_SAID = re.compile(r"the loss of (\d+) of \d+ images? .* the last steps brought (\d+)%")
"""Evidence of `not-converged` in `robench.judge.attack_findings`: survivors, mean late share of the rise."""


def lifted_codes(own: Sequence[Record]) -> set[str]:
    """Return the codes whose findings cannot change the number of a row.

    Args:
        own: the clean and white-box records of one model on one board.
    """
    attacks = [r for r in own if not r.attack.is_clean]
    proper = [r for r in attacks if is_proper(r)]
    # Without the finding there is nothing to lift, and the records need not be read again.
    is_in_doubt = any(_unsettled(r) for r in own)
    codes = {UNSETTLED} if is_in_doubt and proper and _hardly_moves(proper) else set()
    if _reached(attacks):
        codes.add(UNREACHABLE)
    if any(f.code == FLAT for r in own for f in r.findings) and overcome_flat_scores(own):
        codes.add(FLAT)
    return codes


def _reached(attacks: Sequence[Record]) -> bool:
    """Tell whether attacks without gradients break images, and not significantly more than those with."""
    black_box = [r for r in attacks if not uses_gradients(r) and not is_control(r)]
    seeing = [r for r in attacks if uses_gradients(r) and not is_one_step(r)]
    if not seeing or not any((r.columns.array("status") == BROKEN).any() for r in black_box):
        return False
    return all(
        weakness(standing_images(seeing), standing_images(group)) >= SIGNIFICANCE
        for group in by_attack(black_box).values()
    )


def _hardly_moves(proper: Sequence[Record]) -> bool:
    """Tell whether what may still fall to ascents that were cut short is within half the row's interval."""
    stands = standing_images(proper, fresh=False)
    survivors = stands.images[stands.stands == 1]
    low, high = wilson(len(survivors), len(stands))
    room = len(stands) * (high - low) / 2
    attacks = by_attack(_without_other_defects([r for r in proper if uses_gradients(r)]))
    if any(_may_fall(records, len(stands)) <= room for records in attacks.values()):
        return True
    for weak, records in attacks.items():
        agreement = standing_images(records, fresh=False)
        if len(agreement) < len(stands) or count(agreement) - len(survivors) > room:
            continue
        if _steps(records) >= LEAST_STEPS and any(
            other != weak and _far_stronger(attacks[other], records, survivors) for other in attacks
        ):
            return True
    return False


def _without_other_defects(records: Sequence[Record]) -> list[Record]:
    """Return the records of pairs of attack and source that have at most the weakness `not-converged`."""
    defective = {
        (attack_of(r), r.source.gradient_source)
        for r in records
        if {f.code for f in r.findings} & (WEAK - {UNSETTLED})
    }
    return [r for r in records if (attack_of(r), r.source.gradient_source) not in defective]


def _may_fall(records: Sequence[Record], images: int) -> float:
    """Return how many more images one attack may break: at most its survivors with a rising loss.

    If it is one ascent that levels off, the loss is extrapolated: each further stretch as long as the late
    steps brings the same fraction of the previous stretch, in loss and in images.
    """
    if len(standing_images(records)) < images:
        return float("inf")
    by_source: dict[str, list[Record]] = {}
    for record in records:
        by_source.setdefault(record.source.gradient_source, []).append(record)
    return sum(min(_open_ended(part), _at_the_late_rate(part)) for part in by_source.values())


def _open_ended(records: Sequence[Record]) -> float:
    """Return how many survivors' loss was still rising; all of them if the evidence does not say."""
    return float(sum(_told(r)[0] for r in records if _unsettled(r)))


def _at_the_late_rate(records: Sequence[Record]) -> float:
    """Return how many images are still expected to break, infinite if unknown."""
    falls, stretches = 0, 0.0
    for record in records:
        status, points, tries, first = record.columns.arrays("status", "points", "tries", "first_success")
        lengths = points[status == ROBUST]
        if not len(lengths):
            continue  # no image survives that more steps could break
        steps = int(lengths.max())
        single = bool((lengths == steps).all() and (tries <= 1).all())
        if not single or steps < LEAST_STEPS or not _levels_off(record, steps):
            return float("inf")
        # An attack does not evaluate its last point: broken images without a seen success broke there.
        late = steps - _window(steps)
        falls += int(((status == BROKEN) & ((first == 0) | (first > late))).sum())
        if _unsettled(record):
            share = _told(record)[1]
            stretches = max(stretches, float("inf") if share is None else _to_come(share, steps))
    return (falls + 1) * stretches  # plus one: zero observed events do not mean that there will be none


def _to_come(share: float, steps: int) -> float:
    """Return how many times the rise of its late steps an ascent still brings, in geometric decline.

    Of k stretches that each bring r times the one before, the last brings r^(k - 1) (1 - r) / (1 - r^k) of
    all, and all that would follow r / (1 - r) times as much as it. A straight climb, r = 1, never ends.
    """
    stretches = (steps - 1) / _window(steps)
    if share >= 1 / stretches:
        return float("inf")
    low, high = 0.0, 1.0
    for _ in range(50):
        ratio = (low + high) / 2
        if ratio ** (stretches - 1) * (1 - ratio) / (1 - ratio**stretches) < share:
            low = ratio
        else:
            high = ratio
    return low / (1 - low)


def _far_stronger(strong: Sequence[Record], weak: Sequence[Record], survivors: NDArray[np.int64]) -> bool:
    """Tell whether an attack uses at least twice the passes on survivors, and levels off."""
    if any(_unsettled(r) and not _levels_off(r, _length(r)) for r in strong):
        return False
    if _spent(strong, survivors) >= TWICE * _spent(weak, survivors) > 0:
        return True
    return strong[0].attack.name == weak[0].attack.name and (_planned(strong) >= TWICE * _planned(weak) > 0)


def _spent(records: Sequence[Record], survivors: NDArray[np.int64]) -> float:
    """Return the passes on images that survive everything."""
    import numpy as np

    total = 0.0
    for record in records:
        index, forwards, backwards = record.columns.arrays("index", "forwards", "backwards")
        own = np.isin(index, survivors)
        total += float((forwards + backwards)[own].sum())
    return total


def _planned(records: Sequence[Record]) -> int:
    options = records[0].attack.options
    steps, restarts = options.get("steps", 0), options.get("restarts", 1)
    return steps * restarts if isinstance(steps, int) and isinstance(restarts, int) else 0


def _steps(records: Sequence[Record]) -> float:
    """Return the largest number of gradients of an attack; infinite if unknown."""
    return max((r.source.gradients for r in records), default=0) or float("inf")


def _length(record: Record) -> int:
    """Return the points of one try on a survivor, or the number of gradients; 0 if unknown."""
    status, points, tries = record.columns.arrays("status", "points", "tries")
    lengths = (points // tries.clip(min=1))[status == ROBUST]
    return int(lengths.max(initial=0)) or record.source.gradients


def _levels_off(record: Record, steps: int) -> bool:
    """Tell whether the late share is clearly less than that of a linear rise over so many points.

    A finding without the share does not count as levelling off.
    """
    if not _unsettled(record):
        return True
    share = _told(record)[1]
    return share is not None and (steps < 2 or share <= BENT * _window(steps) / (steps - 1))


def _window(steps: int) -> int:
    return min(WINDOW, (steps + 2) // 4)


def _unsettled(record: Record) -> bool:
    return any(finding.code == UNSETTLED for finding in record.findings)


def _told(record: Record) -> tuple[int, float | None]:
    """Return from the evidence the survivors with a rising loss, and the mean late share."""
    for finding in record.findings:
        if finding.code == UNSETTLED and (match := _SAID.search(finding.evidence)):
            return int(match[1]), int(match[2]) / 100
    return int((record.columns.array("status") == ROBUST).sum()), None
