"""Depth and family of a network, from its architecture's name or options."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from reports.board.board_types import Board, Row
from robench.plan.spec import canonical
from robench.record.schema import Record

_NUMBERED = re.compile(
    r"(?P<family>.*?(?:vgg|resnet|resnext|densenet))(?P<depth>[1-9][0-9]{0,3})(?P<rest>(?:[_-].*)?)"
)
"""Families whose number is their depth; the number in `inception_v3` or `vit_b_16` is not."""

_STAGED = {18, 34, 50, 101, 152}
"""Depths of ResNets with four stages (He et al. 2016, Table 1); those for CIFAR, 6k + 2, have three. 50 is
both, and here, as in torchvision and in Wang & Osher 2019, the four-stage one."""


@dataclass(frozen=True, slots=True)
class Point:
    """A row of a board with its depth."""

    depth: int
    row: Row


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """Rows that differ in depth: one family, one head, one kind of training, the same defenses in front."""

    family: str
    head: str
    training: str
    points: tuple[Point, ...]


def depth_of(details: Mapping[str, Any]) -> tuple[str, int] | None:
    """Return (family, depth) of an architecture, None if unknown.

    The depth is the option `depth`, or else the number after the name of a known family, as in `vgg16` or
    `torchvision:resnet50`.
    """
    name = details.get("architecture")
    options = details.get("architecture_options")
    options = options if isinstance(options, dict) else {}
    if not isinstance(name, str) or ".py:" in name:
        return None
    rest = {key: value for key, value in options.items() if key != "depth"}
    suffix = f" {canonical(rest)}" if rest else ""
    depth = options.get("depth")
    if isinstance(depth, int) and not isinstance(depth, bool):
        return name + suffix, depth
    match = _NUMBERED.fullmatch(name)
    if not match:
        return None
    family, depth = match["family"], int(match["depth"])
    if family.rpartition(":")[2] == "resnet" and depth not in _STAGED:
        family += " (three stages)"
    return family + match["rest"] + suffix, depth


def details_of(records: Iterable[Record]) -> dict[str, Mapping[str, Any]]:
    """Return the details of each model in some records, by its fingerprint."""
    return {record.target.fingerprint: record.target.details for record in records}


def series_of(board: Board, details: Mapping[str, Mapping[str, Any]]) -> list[Series]:
    """Return the rows of a board with at least two depths of a family, head and training.

    On a board with a threat only rows that were attacked or bounded count.

    Args:
        board: the board.
        details: details of every model, by fingerprint; see `details_of`.
    """
    groups: dict[tuple[str, str, str, str], list[Point]] = {}
    for row in board.rows:
        own = details.get(row.fingerprint, {})
        depth = depth_of(own)
        if (
            depth
            and row.clean
            and row.clean.n
            and (not board.norm or any(one and one.n for one in (row.worst_case, row.certified)))
        ):
            training, before = str(own.get("training") or ""), own.get("inference") or []
            if names := [str(one.get("defense")) for one in before if isinstance(one, dict)]:
                training += f" behind {', '.join(names)}"
            place = (depth[0], row.head, training, canonical(before))
            groups.setdefault(place, []).append(Point(depth[1], row))
    return [
        Series(
            family=family,
            head=head,
            training=training,
            points=tuple(sorted(points, key=lambda point: (point.depth, point.row.model))),
        )
        for (family, head, training, _), points in sorted(groups.items())
        if len({point.depth for point in points}) > 1
    ]
