"""The variation of numbers over seeds: the same configuration run several times with different seeds.

Every seed has its own leaderboard; here each of its numbers becomes one repetition. Only numbers that differ
in nothing but the seed are combined: same images, threat and recipe of the model, same attacks through the
same gradient sources, and the same models to transfer from.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from reports.board.board_types import Board, Heading, Row
from reports.board.grouping import split_into_boards
from reports.board.identities import Setting, attack_of, model_of
from reports.board.leaderboard import board_of
from reports.board.samples import Samples
from reports.board.shares import Share
from robench.plan.spec import content_hash
from robench.record.measures.statistics import Spread, spread
from robench.record.parts import RecordedTarget
from robench.record.schema import Record

CLEAN, WHITE_BOX, WORST, CERTIFIED = "clean", "white-box", "worst case", "certified"
_CHANCE = {"checkpoint", "seed", "template_seed", "threshold_used"}
"""Details of a model that depend on the seed, beside hashes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Repeated:
    """One number of one model over seeds.

    Attributes:
        model: its name.
        column: `clean`, an attack's label, `certified`, `white-box` or `worst case`.
        seeds: the seeds, ascending.
        values: the accuracy of each seed, in [0, 1].
        spread: of the values.
        doubted: seeds whose row is in doubt.
    """

    model: str
    column: str
    seeds: tuple[int, ...]
    values: tuple[float, ...]
    spread: Spread
    doubted: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SeedBoard(Heading):
    """The numbers of one board over seeds, the best mean first, and the omissions, in words."""

    rows: tuple[Repeated, ...]
    left_out: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _One:
    """A row of one seed's board."""

    seed: int
    row: Row
    columns: dict[str, tuple[str, Share | None]]


def over_seeds(records: Iterable[Record]) -> list[SeedBoard]:
    """Return one board per setting that was measured with at least two seeds; none for one seed."""
    by_seed: dict[int, list[Record]] = {}
    for record in records:
        by_seed.setdefault(record.seed, []).append(record)
    if len(by_seed) < 2:
        return []
    by_setting: dict[Setting, list[tuple[int, Samples, Board]]] = {}
    for seed, own in sorted(by_seed.items()):
        every = split_into_boards(own)
        for samples in every:
            by_setting.setdefault(samples.setting, []).append((seed, samples, board_of(samples, every)))
    return [_seed_board(boards) for boards in by_setting.values() if len(boards) > 1]


def _seed_board(boards: list[tuple[int, Samples, Board]]) -> SeedBoard:
    groups: dict[tuple[str, str], list[_One]] = {}
    left_out: list[str] = []
    names: dict[str, set[int]] = {}
    for seed, samples, board in boards:
        rows = {row.model: row for row in board.rows}
        recipes = {
            model_of(r.target): _recipe(r.target)
            for r in (*samples.clean, *samples.attacked, *samples.bounds)
        }
        targets = [target for target, label in samples.names.items() if label in rows]
        plain = [_name(target) for target in targets]
        for target, name in zip(targets, plain, strict=True):
            row = rows[samples.names[target]]
            if plain.count(name) > 1:
                left_out.append(f"{name}, seed {seed}: two models of this name with different weights")
            elif row.partial:
                left_out.append(f"{name}, seed {seed}: units are missing")
            else:
                names.setdefault(name, set()).add(seed)
                place = (name, content_hash([recipes[target], _faced(samples, target, recipes)]))
                groups.setdefault(place, []).append(_One(seed, row, _columns(samples, row)))
    groups_of_rows = []
    for (name, _), ones in groups.items():
        if len(ones) > 1:
            groups_of_rows.append(_rows(name, ones))
            continue
        seed = ones[0].seed
        alone = names[name] == {seed}
        why = "no other seed" if alone else "made or attacked otherwise than with the other seeds"
        left_out.append(f"{name}, seed {seed}: {why}")
    groups_of_rows.sort(key=lambda rows: (-rows[-1].spread.mean, rows[-1].model))
    fields = {field: getattr(boards[0][2], field) for field in Heading.__dataclass_fields__}
    everything = tuple(row for rows in groups_of_rows for row in rows)
    return SeedBoard(**fields, rows=everything, left_out=tuple(dict.fromkeys(left_out)))


def _rows(name: str, ones: list[_One]) -> list[Repeated]:
    """Return the rows of one model: clean first, its headline last."""
    rows = []
    for column, (label, _) in ones[0].columns.items():
        shares = [(one, one.columns[column][1]) for one in ones]
        numbers = [
            (one, share.value) for one, share in shares if share is not None and share.value is not None
        ]
        if not numbers:
            continue
        values = tuple(value for _, value in numbers)
        rows.append(
            Repeated(
                model=name,
                column=label,
                seeds=tuple(one.seed for one, _ in numbers),
                values=values,
                spread=spread(values),
                doubted=tuple(one.seed for one, _ in numbers if one.row.doubted),
            )
        )
    return rows


def _columns(samples: Samples, row: Row) -> dict[str, tuple[str, Share | None]]:
    """Return label and share of each column, by an identity that is the same for every seed."""
    columns: dict[str, tuple[str, Share | None]] = {CLEAN: (CLEAN, row.clean)}
    if samples.bounds:
        columns[CERTIFIED] = (CERTIFIED, row.certified)
    if samples.labels:
        columns |= {f"attack {key}": (label, row.attacks.get(label)) for key, label in samples.labels.items()}
        columns |= {WHITE_BOX: (WHITE_BOX, row.white_box), WORST: (WORST, row.worst_case)}
    return columns


def _faced(samples: Samples, target: str, recipes: Mapping[str, str]) -> list[list[str]]:
    """Return the attackers of a model with their sources: a worst case depends on all of them."""
    settings = {
        (
            attack_of(record),
            _name(model_of(record.source)),
            recipes.get(model_of(record.source), ""),
            record.source.gradient_source,
        )
        for record in samples.attacked
        if model_of(record.target) == target
    }
    return [list(each) for each in sorted(settings)]


def _name(model: str) -> str:
    return model.partition(":")[2]


def _recipe(target: RecordedTarget) -> str:
    """Return a hash of a model's recipe: of its plan, or else of its details without seed-dependent ones."""
    return target.recipe or content_hash([target.output, target.coupling, _lasting(target.details)])


def _lasting(value: Any) -> Any:
    """Return details without those that depend on the seed."""
    if isinstance(value, Mapping):
        lasting = {k: v for k, v in value.items() if k not in _CHANCE and not str(k).endswith("sha256")}
        return {str(key): _lasting(item) for key, item in lasting.items()}
    if isinstance(value, list | tuple):
        return [_lasting(item) for item in value]
    return value
