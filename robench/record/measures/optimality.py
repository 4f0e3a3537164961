"""How close an attack comes to the smallest known perturbations: AttackBench's optimality. No torch here.

Cina et al. 2024 (arXiv:2404.19460), section 3.3: take the area between an attack's curve of robust accuracy
over the radius and the lowest known curve; the score is 1 minus this area as a share of the area for an
attack that finds nothing. 1 is as good as the best known, 0 is no success.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from robench.plan.spec import content_hash
from robench.record.measures.curves import Breaks, smallest_perturbations
from robench.record.parts import RecordedAttack
from robench.record.schema import Record


@dataclass(frozen=True, slots=True, kw_only=True)
class Optimality:
    """The optimality of one attack, on one model and under one norm.

    Attributes:
        model: the model's name.
        fingerprint: of the model.
        norm: norm of the perturbations.
        attack: the attack's label, with the start of a hash of its options if several attacks have the label.
        n: images it attacked.
        broken: how many of the images that were right at first it broke.
        median: median size of its smallest perturbations, images wrong at first at 0; None if it broke less
            than half.
        known_median: the same for the smallest known perturbations.
        score: optimality, at most 1; None if the model is right for no image, or no attack broke any.
        nearest: share of the images right at first on which it comes within 1 % of the smallest known size.
        passes: mean forwards plus backwards per image, over all gradient sources.
    """

    model: str
    fingerprint: str
    norm: str
    attack: str
    n: int
    broken: int
    median: float | None
    known_median: float | None
    score: float | None
    nearest: float | None
    passes: float


Known = Mapping[tuple[str, str], Breaks]
"""By fingerprint of a model and norm: the smallest known perturbation of each image."""


def optimality(sizes: Breaks, known: Breaks) -> float | None:
    """Return the optimality of an attack's smallest perturbations against the smallest known ones.

    The area under a curve of robust accuracy up to the largest known size is the mean of the sizes, each cut
    off at that size. (AttackBench's code connects the curve's corners by straight lines instead: for 2,000
    images the difference is below 0.01.)

    Args:
        sizes: of the attack, by image; 0 for an image that was wrong at first, inf for one it did not break.
        known: the smallest known sizes, by image, for at least the same images; never above `sizes`.

    Returns:
        None if no image was right at first and is known to break.
    """
    finite = (size for image, size in known.items() if image in sizes and size < math.inf)
    largest = max(finite, default=0.0)
    if largest <= 0:
        return None
    best = _area(known, sizes, largest)
    nothing = largest * sum(known[image] > 0 for image in sizes) / len(sizes)
    if nothing <= best:
        return None
    return 1 - (_area(sizes, sizes, largest) - best) / (nothing - best)


def _area(sizes: Breaks, images: Iterable[int], largest: float) -> float:
    values = [min(sizes[image], largest) for image in images]
    return math.fsum(values) / len(values)


def scores(records: Sequence[Record], *, known: Known | None = None) -> list[Optimality]:
    """Return the optimality of every attack that searches smallest perturbations, best attacks first.

    The smallest known perturbations are over all records of a model and norm, of any attack, radius and
    source, and over `known`. As on a board, equal labels with other options are different attacks, and a
    record that is given twice counts once.

    Args:
        records: of runs.
        known: smaller perturbations known from elsewhere.
    """
    groups: dict[tuple[str, str, str], list[Record]] = {}
    for record in {record.key: record for record in records}.values():
        if record.attack.is_clean or record.certificates or record.threat.goal != "untargeted":
            continue
        place = (record.target.fingerprint, record.threat.norm, record.dataset.set or record.dataset.digest)
        groups.setdefault(place, []).append(record)
    lines = []
    for (fingerprint, norm, _), group in groups.items():
        lines += _scores(group, fingerprint, norm, (known or {}).get((fingerprint, norm), {}))
    return sorted(lines, key=_place)


def _place(line: Optimality) -> tuple[str, str, float, int, str]:
    return (line.model, line.norm, -(line.score or 0.0), -line.broken, line.attack)


def _scores(group: Sequence[Record], fingerprint: str, norm: str, elsewhere: Breaks) -> list[Optimality]:
    best_sizes = smallest_perturbations(group)
    if best_sizes is None:
        return []
    best_sizes = {image: min(size, elsewhere.get(image, math.inf)) for image, size in best_sizes.items()}
    attacks: dict[str, list[Record]] = {}
    for record in group:
        own = record.source.fingerprint == fingerprint
        if record.attack.minimises and math.isinf(record.threat.eps) and own:
            attacks.setdefault(_identity(record.attack), []).append(record)
    labels = [mine[0].attack.label for mine in attacks.values()]
    lines = []
    for identity, mine in attacks.items():
        label = mine[0].attack.label
        sizes = smallest_perturbations(mine)
        assert sizes is not None  # all records are of one norm
        images = sum(len(record.columns) for record in mine)
        passes = sum(record.columns.total("forwards") + record.columns.total("backwards") for record in mine)
        right = [image for image, size in best_sizes.items() if size > 0 and image in sizes]
        near = sum(sizes[image] <= 1.01 * best_sizes[image] < math.inf for image in right)
        lines.append(
            Optimality(
                model=mine[0].target.name,
                fingerprint=fingerprint,
                norm=norm,
                attack=label if labels.count(label) == 1 else f"{label} [{identity[:8]}]",
                n=len(sizes),
                broken=sum(0 < size < math.inf for size in sizes.values()),
                median=_median(sizes.values()),
                known_median=_median(best_sizes[image] for image in sizes),
                score=optimality(sizes, best_sizes),
                nearest=near / len(right) if right else None,
                passes=passes / len(sizes) if images else 0.0,
            )
        )
    return lines


def _identity(attack: RecordedAttack) -> str:
    """Return the identity of an attack on a board: label, name and options (`reports.board.identities`)."""
    return content_hash([attack.label, attack.name, attack.options])


def _median(sizes: Iterable[float]) -> float | None:
    from statistics import median

    values = list(sizes)
    middle = median(values) if values else math.inf
    return middle if middle < math.inf else None
