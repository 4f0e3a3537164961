"""Keep of feature space what pictures need, while the models are at hand (Wang & Osher 2019, section 5)."""

from __future__ import annotations

import statistics
import traceback
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from typing import TYPE_CHECKING

from robench.errors import InputError, RobenchError, StorageError
from robench.plan.spec import SCHEMA, content_hash
from robench.record.feature_snapshot import VERSION, FeatureSnapshot
from robench.record.schema import Record, Status
from robench.run.evaluate import Craft, Watcher, Work
from robench.run.feature_space import Part, cloud_of, nearest_of
from robench.run.units import Board, Shard
from robench.types import Images

if TYPE_CHECKING:
    from robench.run.keeper import FolderKeeper

BYTES = 2_000_000
"""Most bytes kept for one model, all its boards together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attacked:
    """One white-box attack on one model: its shards, with what was crafted and what was judged."""

    job: Craft
    shards: tuple[Shard, ...]
    crafted: tuple[str, ...]
    records: tuple[Record, ...]


def survey(work: Work, keeper: FolderKeeper, watcher: Watcher) -> Iterator[str]:
    """Keep a geometry of every model on every board; yield the key of each.

    Chosen is the white-box attack that leaves fewest images robust. What is there already is not made again;
    a model that fails is recorded and the others go on.

    Raises:
        StorageError: the disk refused; everything kept before is intact.
    """
    kept = replace(keeper, force=False)  # what was computed before this, by this very run too
    for board in work.boards:
        worst = worst_attacks(work, board, kept)
        pair, choice = most_confused([record for attacked in worst for record in attacked.records])
        for attacked in worst:
            key = content_hash(
                {
                    "schema": SCHEMA,
                    "kind": "geometry",
                    "version": VERSION,
                    "target": [attacked.job.source.model.name, attacked.job.source.fingerprint],
                    "units": [record.key for record in attacked.records],
                    "classes": list(pair),
                    "choice": choice,
                    "bytes": BYTES // len(work.boards),
                }
            )
            if keeper.has_geometry(key):
                yield key
                continue
            title = f"features: {attacked.job.title}"
            watcher.begin(title)
            try:
                made = _surveyed(work, attacked, kept, pair, choice)
            except StorageError:
                raise
            except _LostError:
                continue
            except Exception as error:  # noqa: BLE001 - the boundary: one model's failure is recorded
                text = str(error) if isinstance(error, RobenchError) else _trace(error)
                keeper.failed(key, title, text)
                watcher.failed(f"{title}: {text.strip().splitlines()[-1]}")
                continue
            keeper.keep_geometry(key, made)
            yield key


def worst_attacks(work: Work, board: Board, keeper: FolderKeeper) -> list[Attacked]:
    """Return for every model the white-box attack that leaves fewest images robust; none if none was judged.

    Compared are (attack, gradient source); the first of the plan wins a tie, under an infinite radius the
    one that needed the smaller median distance.
    """
    shards = list(work.shards())
    best: dict[str, tuple[tuple[float, ...], Attacked]] = {}
    for job in (job for job in work.crafts() if job.board is board):
        found = []
        for shard in shards:
            if record := keeper.record(work.record_key(job, shard, job.source)):
                found.append((shard, work.craft_key(job, shard), record))
        if not found:
            continue
        whole = Attacked(
            job=job,
            shards=tuple(shard for shard, _, _ in found),
            crafted=tuple(crafted for _, crafted, _ in found),
            records=tuple(record for _, _, record in found),
        )
        measure = _measure(whole, missing=len(shards) - len(found))
        name = job.source.model.name
        if name not in best or measure < best[name][0]:
            best[name] = (measure, whole)
    return [best[s.model.name][1] for s in work.subjects if s.model.name in best]


def _measure(attacked: Attacked, *, missing: int) -> tuple[float, ...]:
    """Return what makes an attack the worst: small is worse."""
    statuses = [status for record in attacked.records for status in record.columns.status]
    robust = sum(status == Status.ROBUST for status in statuses)
    if attacked.job.board.threat.bounded:
        return (missing, robust)
    sizes = [size for record in attacked.records for size in record.columns.l2]
    return (missing, robust, statistics.median(sizes))


def most_confused(records: Sequence[Record]) -> tuple[tuple[int, ...], str]:
    """Return the two classes that are taken for each other most often, and why these, in words.

    Counted are images that were right before the attack, over all these records; where there are none, what
    was wrong before it; else the two classes with most images. A tie goes to the smaller labels. With fewer
    than two classes there is no pair: ().
    """
    after: Counter[tuple[int, int]] = Counter()
    before: Counter[tuple[int, int]] = Counter()
    images: Counter[int] = Counter()
    for record in records:
        columns = record.columns
        lines = zip(columns.label, columns.clean, columns.adversarial, strict=True)
        for label, clean, adversarial in lines:
            images[label] += 1
            said, counted = (adversarial, after) if clean == label else (clean, before)
            if said != label:
                counted[min(label, said), max(label, said)] += 1
    known = set(images)  # a class without images, or a rejection, has nothing to show
    for counted, words in ((after, "under attack"), (before, "without an attack")):
        pairs = {pair: count for pair, count in counted.items() if set(pair) <= known}
        if pairs:
            pair = min(pairs, key=lambda pair: (-pairs[pair], pair))
            return pair, f"most often taken for each other {words}, {pairs[pair]} times over all models"
    if len(known) < 2:
        return (), ""
    first, second = sorted(sorted(known, key=lambda label: (-images[label], label))[:2])
    return (first, second), "those with most images; no two were ever taken for each other"


def _surveyed(
    work: Work, attacked: Attacked, keeper: FolderKeeper, pair: tuple[int, ...], choice: str
) -> FeatureSnapshot:
    """Return the geometry of one model.

    Raises:
        _LostError: the adversarial images it needs are no longer kept.
    """
    # One shard at a time: all adversarial images together may be far more than fits into memory.
    proposed = lru_cache(maxsize=1)(partial(_proposed, keeper))
    parts = [
        Part(shard=shard, record=record, x_adv=partial(proposed, key))
        for shard, record, key in zip(attacked.shards, attacked.records, attacked.crafted, strict=True)
    ]
    geometry = FeatureSnapshot(units=tuple(record.key for record in attacked.records))
    model, threat = attacked.job.source.model, attacked.job.board.threat
    room = BYTES // len(work.boards) // 2
    if not pair:
        return replace(geometry, reason="all images are of one class")
    if model.neighbourhood is None and model.features is None:
        return replace(geometry, reason="it offers no features of an image")
    try:
        cloud = cloud_of(model, parts, threat, (pair[0], pair[1]), choice, room=room, batch=work.batch_size)
    except InputError as refusal:  # a foreign network that cannot be seen as features and a last layer
        return replace(geometry, reason=refusal.got)
    nearest = nearest_of(model, parts, threat, room=room) if model.neighbourhood else None
    return replace(geometry, cloud=cloud, nearest=nearest)


class _LostError(Exception):
    """Adversarial images are no longer kept."""


def _proposed(keeper: FolderKeeper, key: str) -> Images:
    crafted = keeper.crafted(key)
    if crafted is None:
        raise _LostError
    return crafted.x_adv


def _trace(error: Exception) -> str:
    return "".join(traceback.format_exception(error))
