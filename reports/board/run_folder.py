"""Reads a run folder: its data, and a line for every unreadable part."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from reports.board.feature_spaces import FeatureSpace, read_feature_spaces
from robench.errors import RobenchError, StorageError
from robench.plan.yaml_reader import read_value
from robench.record.exchange.model_card import StatedCard, stated_card
from robench.record.files import MOST_TEXT, read_regular, read_text
from robench.record.run_facts import RunFacts
from robench.record.schema import Record
from robench.record.store import Fault, Store, check_run

MOST_FAULTS = 50
"""Unreadable files and failed units listed one by one; the rest is counted."""
COUNTS = ("epoch", "stage", "validation_images")
"""Columns of a history with integers."""
MOST_COUNTED = 1e9
"""Largest value of them: figures and intervals support numbers up to this."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """A network that was trained in the run.

    Attributes:
        name: the model's name.
        card: its model card, empty if there is none.
        history: one row per epoch; see `robench.record.training_history`.
    """

    name: str
    card: StatedCard
    history: tuple[dict[str, float], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """All data of a page.

    Attributes:
        records: the records.
        root: the folder, None for records alone.
        facts: contents of run.json.
        config: the configuration, verbatim.
        failures: units and models that failed.
        unreadable: files that cannot be read.
        trainings: the networks trained in the run.
        feature_spaces: the stored features.
    """

    records: tuple[Record, ...]
    root: Path | None = None
    facts: RunFacts = field(default_factory=RunFacts)
    config: str = ""
    failures: tuple[Fault, ...] = ()
    unreadable: tuple[Fault, ...] = ()
    trainings: tuple[Training, ...] = ()
    feature_spaces: tuple[FeatureSpace, ...] = ()


Readable = tuple[Sequence[Record], Sequence[Fault]]
"""The result of `Store.readable` for a folder, if it was read already."""


def read_run(root: Path, readable: Readable | None = None) -> Run:
    """Read a run folder; a damaged file becomes a line of `unreadable`, never an error.

    Args:
        root: the folder.
        readable: the records to show and the faults, if they were read already.

    Raises:
        ConfigError: the folder is not the folder of a run.
    """
    if readable is None:
        check_run(root)
    store = Store(root)
    facts = store.facts()[0]
    records, faults = readable if readable is not None else store.readable()
    unreadable = list(faults)
    trainings = _trainings(root, unreadable)
    spaces, space_faults = read_feature_spaces(root, records, facts.get("geometry"))
    unreadable += [Fault(*fault) for fault in space_faults]
    return Run(
        records=tuple(records),
        root=root,
        facts=facts,
        config=_config(root),
        failures=_failures(store, facts),
        unreadable=tuple(unreadable),
        trainings=trainings,
        feature_spaces=tuple(spaces),
    )


def read_trainings(root: Path) -> tuple[Training, ...]:
    """Return the networks trained in a run folder whose history can be read."""
    return _trainings(root, [])


def _failures(store: Store, facts: RunFacts) -> tuple[Fault, ...]:
    models = facts.get("failed_models", {})
    accounts = [(k, a) for k, a in store.read_errors().items() if str(a.get("model")) not in models]
    units = [Fault(str(a.get("job") or key), _last_line(a.get("error"))) for key, a in accounts]
    return (*(Fault(f"model {name}", _last_line(why)) for name, why in models.items()), *units)


def _last_line(text: Any) -> str:
    """Return the most informative line of an error: the last line of its traceback or message."""
    lines = str(text or "no reason was written").strip().splitlines()
    return lines[-1] if lines else ""


def _config(root: Path) -> str:
    try:
        return (read_regular(root / "config.yaml", most=MOST_TEXT) or b"").decode("utf-8", "replace")
    except StorageError:
        return ""


def _trainings(root: Path, unreadable: list[Fault]) -> tuple[Training, ...]:
    trainings = []
    for path in sorted((root / "models").glob("*/history.csv")):
        card = _card(path.parent / "weights.card.yaml", unreadable)
        history = _history(path, unreadable)
        if history:
            name = str(card.get("name") or path.parent.name)
            trainings.append(Training(name=name, card=card, history=history))
    return tuple(trainings)


def _card(path: Path, unreadable: list[Fault]) -> StatedCard:
    try:
        card = read_value((read_regular(path, most=MOST_TEXT) or b"").decode(), source=path.name)
    except (RobenchError, UnicodeDecodeError) as error:
        got = error.got if isinstance(error, RobenchError) else str(error)
        unreadable.append(Fault(f"models/{path.parent.name}/{path.name}", f"got {got}"))
        return {}
    return stated_card(card)


def _history(path: Path, unreadable: list[Fault]) -> tuple[dict[str, float], ...]:
    try:
        stream = io.StringIO(read_text(path) or "", newline="")
        rows = [_numbers(row) for row in csv.DictReader(stream)]
    except (StorageError, ValueError, csv.Error) as error:
        unreadable.append(Fault(f"models/{path.parent.name}/{path.name}", str(error)))
        return ()
    return tuple(row for row in rows if "epoch" in row)


def _numbers(row: dict[str | Any, Any]) -> dict[str, float]:
    """Return the cells of a row that are finite numbers; a half-written row keeps what is whole.

    Raises:
        ValueError: a share is outside [0, 1], or a count is none; names the column.
    """
    numbers: dict[str, float] = {}
    for name, cell in row.items():
        try:
            value = float(cell)
        except (TypeError, ValueError):
            continue
        if isinstance(name, str) and math.isfinite(value):
            numbers[name] = value
            if name.endswith("_accuracy") and not 0 <= value <= 1:
                raise ValueError(f"expected a share in [0, 1] in the column `{name}`, got {value:g}")
            if name in COUNTS and not (0 <= value <= MOST_COUNTED and value.is_integer()):
                raise ValueError(f"expected a count in the column `{name}`, got {value:g}")
    return numbers
