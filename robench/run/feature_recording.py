"""Store the features for figures while the models are loaded (Wang & Osher 2019, section 5)."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial

from robench.errors import InputError, StorageError
from robench.model.out_of_memory import FittingBatches
from robench.plan.spec import SCHEMA, content_hash
from robench.randomness import borrowed_global_randomness, seed_from
from robench.record.feature_snapshot import FEATURES, VERSION, FeatureSnapshot
from robench.record.schema import Record, Status
from robench.run.crafting import Board, Crafting
from robench.run.feature_space import Part, cloud_of, nearest_of
from robench.run.jobs import Job, crafting_job
from robench.run.keeper import FolderKeeper, failure_text, last_line
from robench.run.progress import QUIET, Reporter
from robench.run.work import Work
from robench.types import Images

BYTES = 2_000_000
"""Most bytes kept for one model, all its boards together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attacked:
    """One white-box attack on one model: its jobs, one per shard, with their records."""

    crafting: Crafting
    jobs: tuple[Job, ...]
    records: tuple[Record, ...]


def record_features(work: Work, keeper: FolderKeeper, reporter: Reporter = QUIET) -> Iterator[str]:
    """Keep a snapshot of the features of every model on every board; yield the key of each.

    It uses the white-box attack that leaves fewest images robust. Stored ones are not computed again;
    a model that fails is recorded and the others go on.

    Raises:
        StorageError: writing to disk failed; everything stored before is intact.
    """
    stored_units = replace(keeper, force=False)  # all units stored so far, including those of this run
    for board in work.boards:
        worst = worst_attacks(work, board, stored_units)
        pair, choice = most_confused([record for worst_attack in worst for record in worst_attack.records])
        for worst_attack in worst:
            key = content_hash(
                {
                    "schema": SCHEMA,
                    "kind": "geometry",
                    "version": VERSION,
                    "target": [
                        worst_attack.crafting.source.model.name,
                        worst_attack.crafting.source.fingerprint,
                    ],
                    "units": [record.key for record in worst_attack.records],
                    "classes": list(pair),
                    "choice": choice,
                    "bytes": BYTES // len(work.boards),
                }
            )
            if keeper.has_snapshot(key):
                yield key
                continue
            title = f"features: {worst_attack.crafting.title}"
            reporter.begin(title)
            try:
                with borrowed_global_randomness(seed_from(work.settings.seed, "features")):
                    snapshot = _snapshot(work, worst_attack, stored_units, pair, choice)
            except StorageError:
                raise
            except _LostError:
                continue
            except Exception as error:  # noqa: BLE001 - the boundary: one model's failure is recorded
                text = failure_text(error)
                keeper.failed(key, title, text, error=error)
                reporter.failed(f"{title}: {last_line(text)}")
                continue
            keeper.keep_snapshot(key, snapshot)
            yield key
    keeper.finished(FEATURES)


def worst_attacks(work: Work, board: Board, keeper: FolderKeeper) -> list[Attacked]:
    """Return for every model the white-box attack that leaves fewest images robust; none if none was judged.

    Pairs (attack, gradient source) are compared. On a tie the first in the plan wins, or under an infinite
    radius the one with the smaller median distance.
    """
    shards = list(work.shards())
    best: dict[str, tuple[tuple[float, ...], Attacked]] = {}
    for crafting in (crafting for crafting in work.craftings if crafting.board is board):
        jobs = [crafting_job(crafting, shard, work.settings) for shard in shards]
        results = [(job, record) for job in jobs if (record := keeper.record(job.white_box.key))]
        if not results:
            continue
        candidate = Attacked(
            crafting=crafting,
            jobs=tuple(job for job, _ in results),
            records=tuple(record for _, record in results),
        )
        measure = _measure(candidate, missing=len(shards) - len(results))
        name = crafting.source.model.name
        if name not in best or measure < best[name][0]:
            best[name] = (measure, candidate)
    return [best[m.model.name][1] for m in work.models if m.model.name in best]


def _measure(candidate: Attacked, *, missing: int) -> tuple[float, ...]:
    """Return the sort key of an attack; the smallest key is the worst attack for the model."""
    statuses = [status for record in candidate.records for status in record.columns.status]
    robust = sum(status == Status.ROBUST for status in statuses)
    if candidate.crafting.threat.bounded:
        return (missing, robust)
    sizes = [size for record in candidate.records for size in record.columns.l2]
    return (missing, robust, statistics.median(sizes))


def most_confused(records: Sequence[Record]) -> tuple[tuple[int, ...], str]:
    """Return the two classes that are confused most often, and the reason for the choice, in words.

    Counts confusions under attack of images that were right before, over all these records; if there are
    none, confusions without attack; if there are none either, takes the two classes with most images. On a
    tie the smaller labels win. With fewer than two classes there is no pair: ().
    """
    after: Counter[tuple[int, int]] = Counter()
    before: Counter[tuple[int, int]] = Counter()
    images: Counter[int] = Counter()
    for record in records:
        columns = record.columns
        lines = zip(columns.label, columns.clean, columns.adversarial, strict=True)
        for label, clean, adversarial in lines:
            images[label] += 1
            answer, confusions = (adversarial, after) if clean == label else (clean, before)
            if answer != label:
                confusions[min(label, answer), max(label, answer)] += 1
    classes = set(images)  # a class without images, or a rejection, has nothing to show
    for confusions, when in ((after, "under attack"), (before, "without an attack")):
        counts = {pair: count for pair, count in confusions.items() if set(pair) <= classes}
        if counts:
            pair = min(counts, key=lambda pair: (-counts[pair], pair))
            return pair, f"most often taken for each other {when}, {counts[pair]} times over all models"
    if len(classes) < 2:
        return (), ""
    first, second = sorted(sorted(classes, key=lambda label: (-images[label], label))[:2])
    return (first, second), "those with most images; no two were ever taken for each other"


def _snapshot(
    work: Work, worst_attack: Attacked, keeper: FolderKeeper, pair: tuple[int, ...], choice: str
) -> FeatureSnapshot:
    """Return the feature snapshot of one model.

    Raises:
        _LostError: the adversarial images it needs are no longer kept.
    """
    # One shard at a time: all adversarial images together may not fit into memory.
    images_of = lru_cache(maxsize=1)(partial(_proposed, keeper))
    parts = [
        Part(shard=job.shard, record=record, x_adv=partial(images_of, job.key))
        for job, record in zip(worst_attack.jobs, worst_attack.records, strict=True)
    ]
    snapshot = FeatureSnapshot(units=tuple(record.key for record in worst_attack.records))
    model, threat = worst_attack.crafting.source.model, worst_attack.crafting.threat
    room = BYTES // len(work.boards) // 2
    batch = work.settings.batch_size
    batches = FittingBatches(images=batch, where=f"model {model.name!r}")
    if not pair:
        return replace(snapshot, reason="all images are of one class")
    if model.neighbourhood is None and model.features is None:
        return replace(snapshot, reason="it offers no features of an image")
    try:
        show = partial(cloud_of, model, parts, threat, (pair[0], pair[1]), choice, room=room)
        cloud = batches.do(lambda size: show(batch=size), most=batch)
    except InputError as refusal:  # a foreign network that cannot be split into features and a last layer
        return replace(snapshot, reason=refusal.got)
    find = partial(nearest_of, model, parts, threat, room=room)
    nearest = batches.do(lambda size: find(batch=size), most=batch) if model.neighbourhood else None
    return replace(snapshot, cloud=cloud, nearest=nearest)


class _LostError(Exception):
    """Adversarial images are no longer kept."""


def _proposed(keeper: FolderKeeper, key: str) -> Images:
    result = keeper.crafted(key)
    if result is None:
        raise _LostError
    return result.x_adv
