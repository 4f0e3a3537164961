"""Compares the smallest changes of two runs without a radius, image by image. No torch here.

Without a radius nearly every image falls, so that accuracies say nothing: what counts is how large a change
it takes.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from robench.record.comparison.attackers import attackers, by_attack_and_place
from robench.record.comparison.run_verdicts import WORST, Setting, column_of
from robench.record.measures.curves import smallest_perturbations
from robench.record.measures.statistics import mcnemar
from robench.record.schema import Record
from robench.record.threat_summary import setting_text


@dataclass(frozen=True, slots=True, kw_only=True)
class SizeDifference:
    """The smallest changes that break a model in two runs, over the images both attacked.

    Attributes:
        setting: data and threat in words.
        norm: of the changes.
        model: name of the model, or `first -> second` for two different ones.
        column: an attack's label, or `worst case`: the smallest over the attackers that both models met.
        n: images attacked in both.
        first: median in the first run over all images; 0 for an image that was wrong before, infinite for one
            that nothing broke.
        second: the same in the second run.
        larger_first: images that take a larger change in the first run.
        larger_second: images that take a larger one in the second.
    """

    setting: str
    norm: str
    model: str
    column: str
    n: int
    first: float
    second: float
    larger_first: int
    larger_second: int

    @property
    def p_value(self) -> float:
        """The p-value of the exact sign test on the images' sizes."""
        return mcnemar(self.larger_first, self.larger_second)

    @property
    def loss(self) -> float:
        """How much smaller the second median is, as a share of the first, in [0, 1]; 0 if it is not."""
        if self.second >= self.first:
            return 0.0
        return 1.0 if math.isinf(self.first) else 1 - self.second / self.first


def size_differences(
    first: Iterable[Record], second: Iterable[Record], *, pairs: Sequence[tuple[str, str]] = ()
) -> list[SizeDifference]:
    """Compare the smallest changes of two runs, for every setting without a radius.

    Args:
        first: records of one run.
        second: records of the other.
        pairs: models of the first run with models of the second; by default those of the same name.
    """
    before, after = attackers(first), attackers(second)
    result = []
    for setting, one in before:
        if not math.isinf(setting[3].eps):
            continue
        for two in [b for a, b in pairs if a == one] if pairs else [one]:
            result += _of_models(setting, one, two, before[setting, one], after.get((setting, two), []))
    return result


def _of_models(
    setting: Setting, one: str, two: str, first: Sequence[Record], second: Sequence[Record]
) -> list[SizeDifference]:
    mine, theirs = by_attack_and_place(first, second), by_attack_and_place(second, first)
    columns: dict[str, tuple[list[Record], list[Record]]] = {}
    for attacker in mine.keys() & theirs.keys():
        own, other = mine[attacker], theirs[attacker]
        names = [column_of(own[0].attack.label)] if own[0].white_box else []
        for name in (*names, WORST):
            records = columns.setdefault(name, ([], []))
            records[0].extend(own)
            records[1].extend(other)
    result = []
    for column in sorted(columns, key=lambda name: (name == WORST, name)):
        left, right = (smallest_perturbations(records) or {} for records in columns[column])
        if images := sorted(left.keys() & right.keys()):
            before, after = [left[i] for i in images], [right[i] for i in images]
            data, split, _, threat = setting
            result.append(
                SizeDifference(
                    setting=f"{data} {split}, {setting_text(threat)}",
                    norm=threat.norm,
                    model=one if one == two else f"{one} -> {two}",
                    column=column,
                    n=len(images),
                    first=statistics.median(before),
                    second=statistics.median(after),
                    larger_first=sum(a > b for a, b in zip(before, after, strict=True)),
                    larger_second=sum(a < b for a, b in zip(before, after, strict=True)),
                )
            )
    return result
