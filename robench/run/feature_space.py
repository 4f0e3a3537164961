"""Positions of images in feature space, before and after an attack, and their nearest templates."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from robench.attack.threat import ThreatModel
from robench.errors import InputError
from robench.judge.verdict import landing
from robench.model.batch_identity import batch_of
from robench.model.evaluation import evaluation_mode
from robench.model.interface import Model
from robench.record.feature_snapshot import Cloud, Nearest
from robench.record.schema import Record, Status
from robench.run.shards import Shard
from robench.types import Features, Images, NearestDistances, NearestPoints, Points

EACH = 100
"""Most images of a class (Wang & Osher 2019, section 5: 100 test images of each)."""
QUERIES = 4
"""Most images whose neighbours are kept."""
NEIGHBOURS = 5
"""Neighbours of each (same paper, Fig. 10)."""
SIDE = 96
"""Pixels of the longer side of a picture; larger ones are reduced."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A shard, the record of an attack on it, and a function that returns proposed images (B, C, H, W)."""

    shard: Shard
    record: Record
    x_adv: Callable[[], Images]


@torch.no_grad()
def cloud_of(
    model: Model,
    parts: Sequence[Part],
    threat: ThreatModel,
    classes: tuple[int, int],
    choice: str,
    *,
    room: int,
    batch: int,
) -> Cloud:
    """Return the features of the first images of two classes, clean and at the judged points.

    Args:
        model: it has features or a neighbourhood.
        parts: the shards, in order.
        threat: what the proposals were judged under.
        classes: the two classes.
        choice: the reason for choosing these two.
        room: most bytes of features; to fit, both classes lose the same number of images.
        batch: most images per pass.

    Raises:
        InputError: the network cannot be split into features and a last layer, its features are too large, or
            there is no image of one of the classes.
    """
    places = [
        [(part, row) for part in parts for row, label in enumerate(part.record.columns.label) if label == one]
        for one in classes
    ]
    if not all(places):
        raise _refusal("no image of one of the two classes that was attacked")
    probe = _features(model, _points(places[0][:1], threat, model, before=True), batch)
    each = min(EACH, room // (2 * 2 * 4 * max(1, probe.shape[1])))
    if not each:
        raise _refusal(f"features of {probe.shape[1]} numbers an image, too many to keep")
    sample = [place for own in places for place in own[:each]]
    before = _features(model, _points(sample, threat, model, before=True), batch)
    after = _features(model, _points(sample, threat, model, before=False), batch)
    return Cloud(
        classes=classes,
        choice=choice,
        clean_features=before.cpu().numpy(),
        adversarial_features=after.cpu().numpy(),
        **_columns(sample),
    )


@torch.no_grad()
def nearest_of(
    model: Model, parts: Sequence[Part], threat: ThreatModel, *, room: int, batch: int = QUERIES
) -> Nearest | None:
    """Return the nearest template images of a few attacked images, before and after the attack, or None.

    The template of an image is that of its shard; several voting templates are searched together.

    Args:
        model: it has a neighbourhood.
        parts: the shards, in order.
        threat: what the proposals were judged under.
        room: most bytes of pictures.
        batch: most images per pass.
    """
    assert model.neighbourhood is not None
    channels, height, width = parts[0].shard.data.shape
    pictures = 2 + 2 * NEIGHBOURS
    side = min(SIDE, max(height, width), max(1, math.isqrt(room // (pictures * channels))))
    size = channels * math.prod(_reduced(height, width, side))
    examples = _instructive(parts, min(QUERIES, room // (pictures * size)))
    numbers: dict[tuple[int, int], int] = {}
    images: list[Tensor] = []
    rows: list[dict[str, Tensor]] = []
    places: list[tuple[Part, int]] = []
    template = 0
    for number, part in enumerate(parts):
        own = [(part, row) for where, row in examples if where == number]
        if not own:
            continue
        points = [_points(own, threat, model, before=before) for before in (True, False)]
        with batch_of(part.shard.data.indices):
            memory = model.neighbourhood.memory()
            z = torch.stack([_features(model, x, min(len(own), batch)) for x in points], dim=1)
        finite = torch.isfinite(z).flatten(1).all(dim=1).tolist()
        for at in (at for at, good in enumerate(finite) if good):
            ids, distances = nearest_rows(memory.points, z[at], NEIGHBOURS)
            picture = torch.empty_like(ids)
            for place, row in enumerate(ids.flatten().tolist()):
                # A shard may have a template of its own: a row identifies an image only together with it.
                if (number, row) not in numbers:
                    numbers[number, row] = len(images)
                    images.append(_eight_bits(memory.images[row : row + 1], side)[0])
                picture.view(-1)[place] = numbers[number, row]
            queries = torch.cat([_eight_bits(x[at : at + 1], side) for x in points])
            rows.append(
                {
                    "queries": queries,
                    "ids": ids,
                    "labels": memory.labels[ids],
                    "distances": distances,
                    "picture": picture,
                }
            )
            places.append(own[at])
        template = max(template, len(memory.labels))
    if not rows:
        return None
    arrays: dict[str, Any] = {
        name: torch.stack([row[name] for row in rows]).cpu().numpy() for name in rows[0]
    }
    return Nearest(
        template=template, pictures=torch.stack(images).cpu().numpy(), **arrays, **_columns(places)
    )


def nearest_rows(points: Points, z: Features, k: int) -> tuple[NearestPoints, NearestDistances]:
    """Return the k nearest of `points (T, D)` of every row of `z (Q, D)`: rows and distances, (Q, k).

    Distances are computed from differences in float64; equal distances are ordered by row.
    """
    distances = torch.cdist(z.double(), points.double(), compute_mode="donot_use_mm_for_euclid_dist")
    order = distances.sort(dim=1, stable=True)
    return order.indices[:, :k], order.values[:, :k]


def _instructive(parts: Sequence[Part], count: int) -> list[tuple[int, int]]:
    """Return up to `count` places (shard, row) worth showing, in order.

    All but one are broken images, of as many classes as possible; one is a robust image.
    """
    breaks: list[tuple[int, int, int]] = []
    robust: list[tuple[int, int]] = []
    for number, part in enumerate(parts):
        columns = part.record.columns
        for row, (status, label) in enumerate(zip(columns.status, columns.label, strict=True)):
            if status == Status.BROKEN:
                breaks.append((label, number, row))
            elif status == Status.ROBUST:
                robust.append((number, row))
    firsts: dict[int, tuple[int, int, int]] = {}
    for one in breaks:
        firsts.setdefault(one[0], one)
    examples = [*firsts.values(), *(one for one in breaks if one not in set(firsts.values()))]
    survivors = robust[: 1 if count > 1 else 0]
    places = [(number, row) for _, number, row in examples[: count - len(survivors)]]
    return sorted(places) + survivors


def _points(places: Sequence[tuple[Part, int]], threat: ThreatModel, model: Model, *, before: bool) -> Images:
    """Return clean images or the judged points of their proposals, on the model's device."""
    points = []
    for part, row in places:
        x = part.shard.data.batch(slice(row, row + 1))[0].to(model.device)
        points.append(x if before else landing(x, part.x_adv()[row : row + 1].to(model.device), threat).point)
    return torch.cat(points)


def _features(model: Model, x: Images, batch: int) -> Tensor:
    """Return float32 features (B, D), without gradient, in evaluation mode."""
    see = model.neighbourhood.features if model.neighbourhood else model.features
    assert see is not None
    with torch.no_grad(), evaluation_mode(model.net):
        parts = [see(part).flatten(1) for part in torch.split(x, max(1, batch))]
    return torch.cat(parts).float()


def _refusal(got: str) -> InputError:
    return InputError(where="features", expected="features of images of two classes", got=got)


def _columns(places: Sequence[tuple[Part, int]]) -> dict[str, Any]:
    """Return the records' columns that a snapshot repeats, as int64 arrays."""
    names = ("index", "label", "clean", "adversarial")
    return {
        name: torch.tensor([getattr(part.record.columns, name)[row] for part, row in places]).long().numpy()
        for name in names
    }


def _eight_bits(x: Images, side: int) -> Tensor:
    """Return images (B, C, H, W) with 8 bits a value, their longer side not above `side`."""
    size = _reduced(x.shape[2], x.shape[3], side)
    if size != tuple(x.shape[2:]):
        x = F.interpolate(x, size=size, mode="area")
    return (x.float().clamp(0, 1) * 255).round().to(torch.uint8)


def _reduced(height: int, width: int, side: int) -> tuple[int, int]:
    factor = min(1.0, side / max(height, width))
    return max(1, round(height * factor)), max(1, round(width * factor))
