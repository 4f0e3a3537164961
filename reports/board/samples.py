"""The records of one board, by judged model, attacked model, and attack."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from reports.board.identities import Setting, attack_of, model_of
from reports.board.judgements import Judgement, judgement_of
from robench.record.schema import Record
from robench.record.status import STATUSES, robust_images

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Samples:
    """The records of one board.

    Attributes:
        setting: their common setting.
        eps_text: the radius as the user wrote it.
        n: images of the evaluation set.
        clean: records without attack.
        attacked: records with an attack.
        names: shown name of every model, by identity.
        labels: shown label of every attack, by identity, in the order of the records.
        missing: the missing parts of the records' plans, by model; see `robench.record.completeness`. Models
            without any record are in it too.
        whole: models that are complete in at least one of their plans.
        bounds: records of bounds.
        bound_labels: shown label of every bounding method, by identity, in the order of the records.
        asked: attacks that a row must have, by identity; None for all of the board.
    """

    setting: Setting
    eps_text: str
    n: int
    clean: tuple[Record, ...]
    attacked: tuple[Record, ...]
    names: dict[str, str]
    labels: dict[str, str]
    missing: dict[str, tuple[str, ...]] = field(default_factory=dict)
    whole: frozenset[str] = frozenset()
    bounds: tuple[Record, ...] = ()
    bound_labels: dict[str, str] = field(default_factory=dict)
    asked: frozenset[str] | None = None

    @property
    def unbounded(self) -> bool:
        """Whether there is no radius."""
        return math.isinf(self.setting.threat.eps)

    @property
    def whole_box(self) -> bool:
        """Whether every image of the box is admissible: no radius, or an Linf radius as wide as the box."""
        if self.unbounded or not self.attacked:
            return self.unbounded
        low, high = self.attacked[0].threat.bounds or (0.0, 1.0)
        return self.setting.threat.norm == "Linf" and self.setting.threat.eps >= high - low

    def judged(self, target: str) -> Sequence[Record]:
        """Return the records of attacks judged on a model, crafted on any model.

        Args:
            target: identity of the model.
        """
        return self._judged.get(target, ())

    def untouched(self, target: str) -> Sequence[Record]:
        """Return the records of a model's clean images."""
        return self._untouched.get(target, ())

    def white_box(self, target: str) -> Sequence[Record]:
        """Return the records of attacks on a model that were crafted on it."""
        return self._white.get(target, [])

    def everything(self, target: str) -> Sequence[Record]:
        """Return all records that were judged on a model, the clean ones first."""
        return (*self.untouched(target), *self.judged(target))

    def bounded(self, target: str) -> Sequence[Record]:
        """Return the records of bounds on a model."""
        return self._bounded.get(target, ())

    def judgement(self, target: str) -> Judgement | None:
        """Return which images of a model stand, by source; None if each record must be examined."""
        if target not in self._judgements:
            self._judgements[target] = judgement_of(self.judged(target))
        return self._judgements[target]

    def draws(self, target: str) -> int:
        """Return the largest number of fresh draws of a model; 0 if it is not random."""
        plain = self.judgement(target) is not None
        records = self.untouched(target) if plain else self.everything(target)
        return max((record.draws for record in records), default=0)

    @cached_property
    def _judgements(self) -> dict[str, Judgement | None]:
        return {}

    @cached_property
    def _judged(self) -> dict[str, list[Record]]:
        return by_target(self.attacked)

    @cached_property
    def _white(self) -> dict[str, list[Record]]:
        white: dict[str, list[Record]] = {}
        for target, records in self._judged.items():
            sources = {id(record.source): record.source for record in records}
            own = {number for number, source in sources.items() if model_of(source) == target}
            if own_records := [record for record in records if id(record.source) in own]:
                white[target] = own_records
        return white

    @cached_property
    def _bounded(self) -> dict[str, list[Record]]:
        return by_target(self.bounds)

    @cached_property
    def _untouched(self) -> dict[str, list[Record]]:
        return by_target(self.clean)


def by_target(records: Iterable[Record]) -> dict[str, list[Record]]:
    """Return records by the identity of the model that judged them."""
    groups: dict[str, list[Record]] = {}
    by_object: dict[int, list[Record]] = {}  # many records share their target
    for record in records:
        group = by_object.get(id(record.target))
        if group is None:
            group = by_object[id(record.target)] = groups.setdefault(model_of(record.target), [])
        group.append(record)
    return groups


def table_of(records: Sequence[Record]) -> pd.DataFrame:
    """Return one line per image of some records, for a page that searches single images.

    Values that all lines of a record share are stored as categories.
    """
    import numpy as np
    import pandas as pd  # takes half a second, which boards alone do not need

    names = ("index", "status", "clean", "label", "l2")
    parts = zip(*(record.columns.arrays(*names) for record in records), strict=True)
    index, status, clean, label, l2 = map(np.concatenate, parts)
    counts = [len(record.columns) for record in records]

    def category(values: list[str]) -> pd.Categorical[str]:
        kinds = sorted(set(values))
        at = {name: code for code, name in enumerate(kinds)}
        codes = np.repeat(np.array([at[value] for value in values], dtype=np.int64), counts)
        return pd.Categorical.from_codes(codes, pd.Index(kinds))

    right = clean == label
    return pd.DataFrame(
        {
            "index": index,
            "status": pd.Categorical.from_codes(status.astype(np.int64), pd.Index(STATUSES)),
            "right": right,
            "l2": l2,
            "robust": robust_images(status, right),
            "target": category([model_of(r.target) for r in records]),
            "source": category([model_of(r.source) for r in records]),
            "attack": category([attack_of(r) for r in records]),
            "gradient_source": category([r.source.gradient_source for r in records]),
        }
    )
