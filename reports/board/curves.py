"""Accuracy curves of boards as plain data: over points, tries and passes, and over eps across boards."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from reports.board.board_types import Board
from reports.board.certified import bounds_of, certified_images, share_of
from reports.board.identities import attack_of, fingerprint_of, model_of, shown_names
from reports.board.samples import Samples
from reports.board.shares import Share, right, worst
from robench.plan.data_title import images_title
from robench.record.measures.curves import (
    Curve,
    over_eps,
    over_passes,
    over_points,
    over_tries,
    smallest_perturbations,
)
from robench.record.schema import Record

IN_TURN = ""
"""Label of the panel of all attacks, one after another."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """The curve of one model."""

    model: str
    fingerprint: str
    curve: Curve


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """The curves of several models under one attack: for each image the worst of its gradient sources.

    Attributes:
        attack: its label; `IN_TURN` for all attacks of the board, one after another.
        lines: models in the order of the board; a model without a known curve is left out.
    """

    attack: str
    lines: tuple[Line, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class BoardCurves:
    """The curves of one board, white-box, under a finite radius; none under an infinite one.

    Attributes:
        board: the board.
        joint: models whose images influence each other in a batch.
        points: by points tried, a panel per attack.
        tries: by fresh starts, a panel per attack that makes several.
        passes: by forwards plus backwards, a panel per attack, and one of all in turn if there are several.
    """

    board: Board
    joint: tuple[str, ...]
    points: tuple[Panel, ...]
    tries: tuple[Panel, ...]
    passes: tuple[Panel, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """Robust accuracy of a model at the radius of a board; an image that broke at a smaller radius is broken.

    `robust` is None if nothing was attacked. `certified` is the share that a bound proves, at this or a
    larger radius; None if there is no bound. `doubted` says whether the row of that board is in doubt.
    """

    eps: float
    eps_text: str
    robust: Share | None
    certified: Share | None = None
    doubted: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Radii:
    """Robust accuracy of one model over eps.

    Attributes:
        model: its shown name.
        fingerprint: hash of its weights and details.
        clean: the share of images that are right without a perturbation.
        exact: the distribution of its smallest perturbations, None if no attack searched small ones.
        marks: at the radii of boards, increasing.
        doubted: whether the row without a radius, which `exact` comes from, is in doubt.
    """

    model: str
    fingerprint: str
    clean: float
    exact: Curve | None
    marks: tuple[Mark, ...]
    doubted: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """Boards that differ only in the radius: worst case over all their attacks and sources.

    Attributes:
        boards: positions of its boards in the given list.
        title: a board's title without the radius.
        norm: norm of the perturbations.
        models: models in the order of the boards.
    """

    boards: tuple[int, ...]
    title: str
    norm: str
    models: tuple[Radii, ...]


class CurveLines:
    """The curves of one board, one model after another, so that the records of a model are read once.

    Args:
        board: the board.
        samples: its records.
    """

    def __init__(self, board: Board, samples: Samples) -> None:
        self.board, self.samples = board, samples
        self._labels = samples.labels if math.isfinite(board.eps) else {}
        titles = (*self._labels.values(), *((IN_TURN,) if len(self._labels) > 1 else ()))
        self._lines: dict[str, dict[str, list[Line]]] = {
            kind: {title: [] for title in titles} for kind in ("points", "tries", "passes")
        }

    def add(self, target: str) -> None:
        """Add the curves of a model, given by its identity; models are added in the order of the board."""
        cells = _white_cells(self.samples, target)
        for key, label in self._labels.items():
            parts = list(cells[key].values())
            own = [record for part in parts for record in part]
            self._add("points", label, target, over_points(own))
            self._add("tries", label, target, over_tries(own))
            self._add("passes", label, target, over_passes(parts))
        if len(self._labels) > 1:
            every = [part for by_source in cells.values() for part in by_source.values()]
            self._add("passes", IN_TURN, target, over_passes(every))

    def _add(self, kind: str, title: str, target: str, curve: Curve | None) -> None:
        if curve is not None:
            line = Line(model=self.samples.names[target], fingerprint=fingerprint_of(target), curve=curve)
            self._lines[kind][title].append(line)

    def curves(self) -> BoardCurves:
        """Return the curves of the models that were added."""
        panels = {
            kind: tuple(Panel(attack=title, lines=tuple(own)) for title, own in of_kind.items() if own)
            for kind, of_kind in self._lines.items()
        }
        samples = self.samples
        joint = {samples.names[model_of(r.target)] for r in samples.attacked if r.target.joint}
        several = (panel for panel in panels["tries"] if any(line.curve.end > 1 for line in panel.lines))
        return BoardCurves(
            board=self.board,
            joint=tuple(sorted(joint)),
            points=panels["points"],
            tries=tuple(several),
            passes=panels["passes"],
        )


def board_curves(board: Board, samples: Samples) -> BoardCurves:
    """Return the curves of a board from its records."""
    lines = CurveLines(board, samples)
    order = {row.model: at for at, row in enumerate(board.rows)}
    targets = {model_of(r.target) for r in samples.attacked}
    for target in sorted(targets, key=lambda t: order[samples.names[t]]):
        lines.add(target)
    return lines.curves()


def _white_cells(samples: Samples, target: str) -> dict[str, dict[str, list[Record]]]:
    """Return the white-box records of a model: attack, then gradient source, then shards, in given order."""
    groups: dict[str, dict[str, list[Record]]] = {key: {} for key in samples.labels}
    for record in samples.white_box(target):
        # The first success on a random model may be due to its draw: its curve would be meaningless.
        if not record.draws:
            source = record.source.gradient_source
            groups[attack_of(record)].setdefault(source, []).append(record)
    return groups


def families(boards: Sequence[Board], samples: Sequence[Samples]) -> tuple[Family, ...]:
    """Return the boards that differ only in the radius, if they give a curve over eps.

    They do if an attack searched small perturbations, or if there are several finite radii with attacks or
    bounds.
    """
    groups: dict[tuple[object, ...], list[int]] = {}
    for at, one in enumerate(samples):
        if one.attacked or one.bounds:
            setting = one.setting
            threat = setting.threat._replace(eps=math.inf)
            groups.setdefault((setting._replace(threat=threat),), []).append(at)
    every_family = [_family(places, [boards[p] for p in places], [samples[p] for p in places])
            for places in groups.values()]  # fmt: skip
    return tuple(family for family in every_family if family.models)


def _family(places: Sequence[int], boards: Sequence[Board], samples: Sequence[Samples]) -> Family:
    identities: dict[str, str] = {}
    doubts: set[tuple[str, float]] = set()
    for board, own in zip(boards, samples, strict=True):
        backwards = {name: identity for identity, name in own.names.items()}
        for row in board.rows:
            identity = backwards[row.model]
            doubts |= {(identity, board.eps)} if row.doubted else set()
            identities.setdefault(identity, identity.partition(":")[2])
    names = shown_names({i: (name, fingerprint_of(i)[:8]) for i, name in identities.items()})
    models = [
        _radii(identity, name, samples, {eps for other, eps in doubts if other == identity})
        for identity, name in names.items()
    ]
    first = boards[0]
    return Family(
        boards=tuple(places),
        title=", ".join(
            [
                f"{images_title(first.dataset, first.split)}, {first.n} images, {first.norm}, {first.goal}",
                *first.conditions,
            ]
        ),
        norm=first.norm,
        models=tuple(one for one in models if one is not None),
    )


def _certified_at(board: Samples, samples: Sequence[Samples], target: str) -> Share | None:
    """Return the share of the images bounded on a board that are certified at its radius or a larger one."""
    larger = [one for one in samples if one.setting.threat.eps >= board.setting.threat.eps]
    sure = {i for one in larger for i, yes in certified_images(bounds_of(one, target)).items() if yes}
    return share_of({i: i in sure for i in certified_images(bounds_of(board, target))})


def _radii(target: str, name: str, samples: Sequence[Samples], doubts: set[float]) -> Radii | None:
    own = [(one, one.judged(target)) for one in samples]
    mine = [record for _, records in own for record in records]
    if any(record.draws for record in mine):
        return None  # the smallest perturbation may be due to an unlucky draw
    finite = [(one, records) for one, records in own if math.isfinite(one.setting.threat.eps)
              and (records or one.bounded(target))]  # fmt: skip
    if len(finite) < 2 and not any(record.attack.minimises for record in mine):
        return None  # before reading the sizes, which is slow
    smallest = smallest_perturbations(mine) or {}
    if mine and not smallest:
        return None
    marks = [
        Mark(
            eps=one.setting.threat.eps,
            eps_text=one.eps_text,
            robust=_robust_at(one.setting.threat.eps, records, smallest),
            certified=_certified_at(one, samples, target),
            doubted=one.setting.threat.eps in doubts,
        )
        for one, records in finite
    ]
    curve = over_eps(mine) if mine else None
    if curve is None and len(marks) < 2:
        return None
    # Without sizes of 0: in a joint batch an image may break without a change of its own pixels.
    verdicts = worst(mine or samples[0].untouched(target), right)[1]
    return Radii(
        model=name,
        fingerprint=fingerprint_of(target),
        clean=float(verdicts.sum()) / len(verdicts) if len(verdicts) else 0.0,
        exact=curve,
        marks=tuple(sorted(marks, key=lambda mark: mark.eps)),
        doubted=math.inf in doubts,
    )


def _robust_at(eps: float, records: Sequence[Record], smallest: Mapping[int, float]) -> Share | None:
    """Return the share of the images judged at a radius that no perturbation of at most that size breaks."""
    images = worst(records)[0].tolist() if records else []
    return Share(sum(smallest[index] > eps for index in images), len(images)) if images else None
