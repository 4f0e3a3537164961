"""The measurements of a board, one entry per (target, source, attack, gradient source), and transfers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from reports.board.board_types import Measurement, Transfer, Transfers
from reports.board.identities import attack_of, by_attack, fingerprint_of, model_of
from reports.board.lazy_sequence import Lazily
from reports.board.samples import Samples
from reports.board.shares import Share, draws_of, is_random, one_draw_share, over_batches, robust_share
from robench.record.schema import Record, Status
from robench.record.status import BROKEN, STATUSES

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Place = tuple[str, str, str, str]
"""Identity of target, source and attack, and the gradient source."""


def measurements(samples: Samples) -> Lazily[Measurement, tuple[bool, str]]:
    """Return the results of every attack through every gradient source on every target, over all shards.

    The mark of each: whether it is white-box, and the shown name of its target.
    """
    return Lazily(partial(_places, samples))


def _places(samples: Samples) -> list[tuple[tuple[bool, str], Callable[[], Measurement]]]:
    groups: dict[Place, list[Record]] = {}
    for record in samples.attacked:
        gradient_source = record.source.gradient_source
        place = (model_of(record.target), model_of(record.source), attack_of(record), gradient_source)
        groups.setdefault(place, []).append(record)
    return [
        ((place[0] == place[1], samples.names[place[0]]), partial(_measurement, samples, place, records))
        for place, records in groups.items()
    ]


def _measurement(samples: Samples, place: Place, records: Sequence[Record]) -> Measurement:
    target, source, attack, gradient_source = place
    smallest = median_sizes(records)
    first = records[0].attack
    return Measurement(
        target=samples.names[target],
        target_fingerprint=fingerprint_of(target),
        source=samples.names[source],
        source_fingerprint=fingerprint_of(source),
        white_box=target == source,
        attack=samples.labels[attack],
        plugin=first.name,
        library=first.library,
        gradient_source=gradient_source,
        robust=robust_share(records, samples.untouched(target)) or Share(0, 0),
        broken=_images(records, Status.BROKEN),
        misclassified=_images(records, Status.MISCLASSIFIED),
        failed=_images(records, Status.FAILED),
        median_l2=smallest[0],
        median_linf=smallest[1],
        median_own=smallest[2],
        forwards=mean_of(records, "forwards"),
        backwards=mean_of(records, "backwards"),
        findings=_codes(records),
        draws=draws_of(records),
        one_draw=one_draw_share(records) if is_random(records) else None,
    )


def _images(records: Sequence[Record], status: Status) -> int:
    import numpy as np

    code = STATUSES.index(status)
    pieces = [index[own == code] for index, own in (r.columns.arrays("index", "status") for r in records)]
    every = np.concatenate(sorted(filter(len, pieces), key=lambda one: int(one[0])) or pieces)
    return len(every) if (every[1:] > every[:-1]).all() else len(np.unique(every))


def joined(records: Sequence[Record], *names: str) -> tuple[NDArray[Any], ...]:
    """Return columns of some records, at least one, one record after another."""
    import numpy as np

    parts = [record.columns.arrays(*names) for record in records]
    return tuple(np.concatenate(column) for column in zip(*parts, strict=True))


def mean_of(records: Sequence[Record], name: str) -> float:
    """Return the mean of a column over all images of some records, 0 for none."""
    (values,) = joined(records, name)
    return float(values.mean()) if len(values) else 0.0


def transfers(samples: Samples) -> Sequence[Transfer]:
    """Return the robust accuracy of every target on every source's images; none if all is white-box.

    The mark of each: the label of its attack, empty for all together.
    """
    cross_records = (r for r in samples.attacked if model_of(r.source) != model_of(r.target))
    some = any(len(record.columns) for record in cross_records)
    return Transfers(partial(_pairs, samples), partial(_combined, samples), some=some)


def _groups(samples: Samples) -> dict[tuple[str, str], list[Record]]:
    """Return the records of every source and target; nothing if all is white-box."""
    groups: dict[tuple[str, str], list[Record]] = {}
    by_object: dict[tuple[int, int], list[Record]] = {}  # many records share their source and target
    for record in samples.attacked:
        objects = id(record.source), id(record.target)
        group = by_object.get(objects)
        if group is None:
            place = model_of(record.source), model_of(record.target)
            group = by_object[objects] = groups.setdefault(place, [])
        group.append(record)
    return {} if all(source == target for source, target in groups) else groups


def _combined(samples: Samples) -> list[Transfer]:
    """Return the transfers over all attacks together."""
    return [
        _transfer(samples, source, target, "", records)
        for (source, target), records in _groups(samples).items()
        if any(len(record.columns) for record in records)
    ]


def _pairs(samples: Samples) -> list[tuple[str, Callable[[], Transfer]]]:
    groups = _groups(samples)
    parts: list[tuple[str, Callable[[], Transfer]]] = []
    for (source, target), records in groups.items():
        attacks = by_attack(records)
        tables = {label: attacks.get(key, []) for key, label in samples.labels.items()}
        for attack, part in {**tables, "": records}.items():
            if any(len(record.columns) for record in part):
                parts.append((attack, partial(_transfer, samples, source, target, attack, part)))
    return parts


def _transfer(samples: Samples, source: str, target: str, attack: str, records: Sequence[Record]) -> Transfer:
    judgement = None if attack else samples.judgement(target)
    if judgement is None:
        share = robust_share(records, samples.untouched(target)) or Share(0, 0)
    else:
        verdicts = judgement.robust(source)
        batches = over_batches(records, judgement.images, verdicts)
        share = Share(int(verdicts.sum()), len(verdicts), batches)
    return Transfer(source=samples.names[source], target=samples.names[target], attack=attack, robust=share)


def median_sizes(records: Sequence[Record]) -> tuple[float | None, float | None, float | None]:
    """Return the medians over broken images of the smallest perturbation that broke each: L2, Linf, L1 or L0.

    The last one is in the norm of the threat; None if that is L2 or Linf, or if a record of an earlier
    version does not have it.
    """
    import numpy as np

    if not any((record.columns.array("status") == BROKEN).any() for record in records):
        return None, None, None
    index, status, l2, linf, own = joined(records, "index", "status", "l2", "linf", "distance")
    breaks = status == BROKEN
    once = bool((np.diff(index) > 0).all())  # each image in one record alone
    images, places = (index[breaks], None) if once else np.unique(index[breaks], return_inverse=True)

    def median(sizes: NDArray[np.float64]) -> float:
        if places is None:
            return float(np.median(sizes[breaks]))
        least = np.full(len(images), np.inf)
        np.minimum.at(least, places, sizes[breaks])
        return float(np.median(least))

    return median(l2), median(linf), median(own) if own[breaks].any() else None


def _codes(records: Iterable[Record]) -> tuple[str, ...]:
    return tuple(sorted({finding.code for record in records for finding in record.findings}))
