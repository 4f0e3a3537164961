"""The missing parts of a row: images of its plan, of an attack, of a bound, or of a gradient source."""

from __future__ import annotations

from collections.abc import Iterator

from reports.board.certified import missing_bounds
from reports.board.identities import attack_of, model_of
from reports.board.samples import Samples
from reports.board.shares import Share, is_random
from robench.plurals import counted
from robench.record.completeness import count_images, each_whole
from robench.record.schema import Record

Crafting = tuple[str, str, str]
"""The model that images were crafted on, the attack, and the gradient source."""


def missing_from_row(
    samples: Samples, target: str, clean: Share | None, attacks: dict[str, Share | None]
) -> tuple[str, ...]:
    """Return the missing parts of a row as texts, such as `pgd 40 of 100 images`.

    If the plan is known, the row is compared with it; otherwise with the other rows, and with the model's own
    gradient sources.

    Args:
        samples: the board.
        target: identity of the row's model.
        clean: the row's clean accuracy.
        attacks: the row's share for each attack, by its label; None if there is none.
    """
    if gaps := samples.missing.get(target):
        return gaps
    n, mine = samples.n, samples.judged(target)
    is_judged = any(len(record.columns) for record in mine)
    image_counts = _counts_by_column(samples, clean, attacks) | missing_bounds(samples, target)
    if is_judged:
        groups = _by_crafting(samples, target)
        image_counts |= _counts_by_crafting(samples, target, groups)
        image_counts |= dict.fromkeys(_sources_not_attacked(samples, target, groups), 0)
    never = {label for label, share in attacks.items() if share is None}
    texts = [
        f"not attacked by {what}"
        if count == 0 and what in never
        else f"{what} {count} of {counted(n, 'image')}"
        for what, count in image_counts.items()
        if count < n
    ]
    is_random_model = is_judged and samples.judgement(target) is None and is_random(mine)
    if is_random_model and any(len(record.columns) and not record.draws for record in mine):
        texts.append("fresh draws of noise: an earlier version judged it only in the attacked draw")
    return tuple(texts)


def _counts_by_column(
    samples: Samples, clean: Share | None, attacks: dict[str, Share | None]
) -> dict[str, int]:
    """Return how many images each column of a row has; 0 for a required attack without results."""
    request = {
        label for key, label in samples.labels.items() if samples.asked is None or key in samples.asked
    }
    counts = {
        label: samples.n if share else 0 for label, share in attacks.items() if share or label in request
    }
    return {"clean": clean.n if clean else 0, **counts}


def _by_crafting(samples: Samples, target: str) -> dict[Crafting, list[Record]]:
    """Return the records of a model by their crafting, for craftings that may lack images."""
    mine = samples.judged(target)
    # If everything is complete, only white-box attacks can still lack a gradient source.
    own = samples.white_box(target) if each_whole(mine, samples.n) else mine
    groups: dict[Crafting, list[Record]] = {}
    by_object: dict[tuple[int, int], list[Record]] = {}  # many records share their source and attack
    for record in own:
        objects = id(record.source), id(record.attack)
        group = by_object.get(objects)
        if group is None:
            crafting = (model_of(record.source), attack_of(record), record.source.gradient_source)
            group = by_object[objects] = groups.setdefault(crafting, [])
        group.append(record)
    return groups


def _counts_by_crafting(
    samples: Samples, target: str, groups: dict[Crafting, list[Record]]
) -> dict[str, int]:
    """Return how many images each crafting has, by its name for readers."""
    counts = {}
    for (source, key, through), records in sorted(groups.items()):
        origin = "" if source == target else f" crafted on {samples.names[source]}"
        name = f"{samples.labels[key]}{f' through {through}' if through else ''}{origin}"
        counts[name] = count_images(records)
    return counts


def _sources_not_attacked(
    samples: Samples, target: str, groups: dict[Crafting, list[Record]]
) -> Iterator[str]:
    """Yield each attack with each gradient source of the model that it used for no image."""
    objects_judged = {id(record.target): record.target for record in samples.judged(target)}.values()
    choices = {source for one in objects_judged for source in one.sources}
    for key, label in samples.labels.items():
        attempts = {through for source, attack, through in groups if (source, attack) == (target, key)} - {""}
        # An attack without gradients, or one that uses all sources by itself, cannot lack one.
        if attempts & choices:
            yield from (f"{label} through {through}" for through in sorted(choices - attempts))
