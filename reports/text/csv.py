"""Leaderboards as CSV: one line per model and board, and one line per measurement."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from reports.board.board_types import Board, Heading, Measurement, Row
from reports.board.grouping import split_into_boards
from reports.board.identities import attack_of, model_of
from reports.board.leaderboard import boards_of
from reports.board.over_seeds import SeedBoard, over_seeds
from reports.board.samples import Samples
from reports.board.shares import Share
from reports.text.curves_csv import COLUMNS as CURVE_COLUMNS
from reports.text.curves_csv import curve_lines
from reports.text.escape import visible
from reports.text.share_columns import share_columns
from robench.recipe import Info
from robench.record.exchange.frame import frame_of
from robench.record.files import write_atomic
from robench.record.parts import RecordedAttack
from robench.record.schema import Record

BOARD_COLUMNS = ("dataset", "split", "digest", "images", "norm", "eps", "eps_text", "goal")
THREAT_COLUMNS = ("bounds_low", "bounds_high", "knowledge", "budget")
ROW_COLUMNS = (
    "rank", "model", "fingerprint", "head", "training",
    "clean", "clean_low", "clean_high",
    "worst_case", "worst_case_low", "worst_case_high",
    "white_box", "white_box_low", "white_box_high",
    "n", "median_l2", "median_linf", "passes", "partial", "doubted", "standing", "findings",
    "joint", "batches",
    "clean_batch_low", "clean_batch_high", "worst_case_batch_low", "worst_case_batch_high", "missing",
)  # fmt: skip
CELL_COLUMNS = (
    "target", "target_fingerprint", "source", "source_fingerprint", "white_box",
    "attack", "plugin", "library", "options", "minimises", "gradient_source",
    "n", "robust", "broken", "misclassified", "failed", "robust_accuracy", "low", "high",
    "median_l2", "median_linf", "forwards", "backwards", "findings",
    "batches", "batch_low", "batch_high",
)  # fmt: skip
RANDOM_COLUMNS = ("draws", "one_draw", "one_draw_low", "one_draw_high")
"""Columns of random models; without such models the files do not have them."""
DEFENSE_COLUMNS = ("inference",)
"""Column of models with a defense in front; without such models the file does not have it."""
OWN_SIZES = ("median_own",)
"""Of boards under another norm than L2 and Linf only."""
WHOLE_SIZES = ("median_size",)
"""Of boards without a radius only; in no measurement, for the median is over all images of a row."""
CERTIFIED_COLUMNS = ("certified", "certified_low", "certified_high", "gap", "gap_low", "gap_high")
"""Of boards with bounds only, followed by three for each way to bound; else the file is without them."""
Lines = tuple[Sequence[str], list[list[Any]]]
"""A header, and lines of as many values."""
SEED_COLUMNS = ("model", "column", "seed", "value", "doubted", "seeds", "mean", "deviation", "low", "high")


@dataclass(frozen=True, slots=True, kw_only=True)
class CSV:
    """CSV files: leaderboard.csv (a line per model and board), measurements.csv (per cell), and curves.csv.

    Attributes:
        seeds_only: render the spread over seeds instead of the leaderboard.
        images: also write images.csv, a line for each image and measurement.
    """

    info: ClassVar[Info] = Info(title="CSV", paper="none; RFC 4180")
    seeds_only: bool = False
    images: bool = False

    def render(self, records: Sequence[Record]) -> str:
        """Return the leaderboards of some records as CSV text, or their spread over seeds."""
        if self.seeds_only:
            return seeds_csv(over_seeds(records))
        return csv_text(*leaderboard_lines(board_facts(split_into_boards(records))))

    def __call__(self, records: Sequence[Record], folder: Path) -> list[Path]:
        """Write the files and return their paths.

        Raises:
            StorageError: writing to disk failed; older files are intact.
        """
        samples = split_into_boards(records)
        facts = board_facts(samples)
        files = {
            folder / "leaderboard.csv": csv_text(*leaderboard_lines(facts)),
            folder / "measurements.csv": csv_text(*measurement_lines(facts)),
            folder / "curves.csv": curves_csv(facts, samples),
        }
        if self.images:
            files[folder / "images.csv"] = csv_text(*image_lines(records))
        for path, text in files.items():
            write_atomic(path, text)
        return list(files)


@dataclass(frozen=True, slots=True)
class BoardFacts:
    """A board, and further facts from its records.

    Attributes:
        board: the board.
        trainings: how each model was trained, by shown name.
        inference: the inference-time defenses in front of each model that has any, the outermost first.
        attacks: what an attack is, by its shown label.
    """

    board: Board
    trainings: dict[str, str]
    inference: dict[str, str]
    attacks: dict[str, RecordedAttack]


def board_facts(every: Sequence[Samples]) -> list[BoardFacts]:
    """Return the boards of some records with the facts that a line of CSV adds."""
    facts = []
    for board, samples in zip(boards_of(every), every, strict=True):
        trainings, inference = dict[str, str](), dict[str, str]()
        for record in (*samples.clean, *samples.attacked):
            name = samples.names[model_of(record.target)]
            if name not in trainings and (defenses := _defenses(record.target.details.get("inference"))):
                inference[name] = defenses
            trainings.setdefault(name, record.target.detail("training"))
        attacks = {samples.labels[attack_of(record)]: record.attack for record in samples.attacked}
        facts.append(BoardFacts(board, trainings, inference, attacks))
    return facts


def leaderboard_lines(facts: Sequence[BoardFacts]) -> Lines:
    """Return one line per model and board; shares are fractions, and each attack has columns of its own."""
    labels = list(dict.fromkeys(label for one in facts for label in one.board.attacks))
    names = share_columns("attack", labels)
    random = any(one.board.random for one in facts)
    own, whole = has_own_sizes(facts), has_whole_sizes(facts)
    bounds = list(dict.fromkeys(label for one in facts for label in one.board.certificates))
    is_defended = any(one.inference for one in facts)
    lines = [
        [
            *_board(one.board),
            *_threat(one.board),
            *_row(row, one.trainings),
            *(end for label in labels for end in _ends(row.attacks.get(label))),
            *(_one_draw(row) if random else ()),
            *((row.median_own,) if own else ()),
            *((row.median_size,) if whole else ()),
            *(_certified(row, bounds) if bounds else ()),
            *((one.inference.get(row.model),) if is_defended else ()),
        ]
        for one in facts
        for row in one.board.rows
    ]
    more = [
        *(RANDOM_COLUMNS if random else ()),
        *(OWN_SIZES if own else ()),
        *(WHOLE_SIZES if whole else ()),
        *(CERTIFIED_COLUMNS if bounds else ()),
    ]
    more += [*share_columns("certified", bounds), *(DEFENSE_COLUMNS if is_defended else ())]
    return [*BOARD_COLUMNS, *THREAT_COLUMNS, *ROW_COLUMNS, *names, *more], lines


def curves_csv(facts: Sequence[BoardFacts], samples: Sequence[Samples]) -> str:
    """Return one line per place where an accuracy curve changes; one over eps has no radius of its own."""
    lines = []
    for one in curve_lines([board.board for board in facts], samples):
        own = facts[one.board]
        start = [*_board(own.board), *_threat(own.board)]
        if one.eps_text is not None:
            start[BOARD_COLUMNS.index("eps")] = None
            start[BOARD_COLUMNS.index("eps_text")] = one.eps_text
        lines.append([*start, *one.values])
    return csv_text([*BOARD_COLUMNS, *THREAT_COLUMNS, *CURVE_COLUMNS], lines)


def measurement_lines(facts: Sequence[BoardFacts]) -> Lines:
    """Return one line per target, source, gradient source, attack and threat."""
    lines = []
    random = any(one.board.random for one in facts)
    own = has_own_sizes(facts)
    for one in facts:
        for cell in one.board.cells:
            robust, attack = cell.robust, one.attacks[cell.attack]
            cell_values = {
                "n": robust.n,
                "robust": robust.count,
                "robust_accuracy": robust.value,
                "low": robust.low,
                "high": robust.high,
                "options": json.dumps(attack.options, sort_keys=True),
                "minimises": attack.minimises,
                "findings": " ".join(cell.findings),
                **dict(zip(("batches", "batch_low", "batch_high"), _over(robust), strict=True)),
            }
            values = [cell_values[c] if c in cell_values else getattr(cell, c) for c in CELL_COLUMNS]
            more = [*(_one_draw(cell) if random else ()), *((cell.median_own,) if own else ())]
            lines.append([*_board(one.board), *_threat(one.board), *values, *more])
    more_columns = [*(RANDOM_COLUMNS if random else ()), *(OWN_SIZES if own else ())]
    return [*BOARD_COLUMNS, *THREAT_COLUMNS, *CELL_COLUMNS, *more_columns], lines


def has_whole_sizes(facts: Sequence[BoardFacts]) -> bool:
    """Tell whether a board is ordered by size."""
    return any(row.median_size is not None for one in facts for row in one.board.rows)


def has_own_sizes(facts: Sequence[BoardFacts]) -> bool:
    """Tell whether a board is under a norm whose sizes are neither those in L2 nor in Linf."""
    return any(one.board.norm not in {"", "L2", "Linf"} for one in facts)


def image_lines(records: Sequence[Record]) -> Lines:
    """Return one line for each image of each measurement, as `robench.record.exchange.frame` has it."""
    table = frame_of(records)
    return list(table.columns), table.astype(object).to_numpy().tolist()


def seeds_csv(boards: Sequence[SeedBoard]) -> str:
    """Return one line per board, model, column and seed; values over all seeds are repeated on each."""
    lines = [
        [
            *_board(board), *_threat(board), row.model, row.column, seed, value, seed in row.doubted,
            row.spread.n, row.spread.mean, row.spread.deviation, row.spread.low, row.spread.high,
        ]
        for board in boards
        for row in board.rows
        for seed, value in zip(row.seeds, row.values, strict=True)
    ]  # fmt: skip
    return csv_text([*BOARD_COLUMNS, *THREAT_COLUMNS, *SEED_COLUMNS], lines)


def _board(board: Heading) -> list[Any]:
    eps = board.eps if board.norm else None
    return [board.dataset, board.split, board.digest, board.n, board.norm, eps, board.eps_text, board.goal]


def _threat(board: Heading) -> list[Any]:
    low, high = board.bounds or (None, None)
    knowledge = None if board.knowledge is None else "; ".join(board.knowledge) or "none"
    return [low, high, knowledge, board.budget]


def _row(row: Row, trainings: dict[str, str]) -> list[Any]:
    shares = [end for share in (row.clean, row.worst_case, row.white_box) for end in _ends(share)]
    return [
        row.rank, row.model, row.fingerprint, row.head, trainings.get(row.model), *shares,
        row.n, row.median_l2, row.median_linf, row.passes, row.partial, row.doubted,
        " ".join(row.unlifted), " ".join(row.findings),
        row.joint, _over(row.worst_case or row.clean)[0], *_over(row.clean)[1:], *_over(row.worst_case)[1:],
        "; ".join(row.missing),
    ]  # fmt: skip


def _defenses(entries: Any) -> str:
    """Return the names of inference-time defenses as a model's details list them."""
    if not isinstance(entries, list | tuple):
        return ""
    return "; ".join(str(entry.get("defense", "?")) for entry in entries if isinstance(entry, dict))


def _one_draw(result: Row | Measurement) -> list[Any]:
    return [result.draws or None, *_ends(result.one_draw)]


def _certified(row: Row, bounds: Sequence[str]) -> list[float | None]:
    shares = [row.certified, row.gap, *(row.certified_by.get(label) for label in bounds)]
    return [end for share in shares for end in _ends(share)]


def _ends(share: Share | None) -> tuple[float | None, float | None, float | None]:
    return (share.value, share.low, share.high) if share else (None, None, None)


def _over(share: Share | None) -> tuple[int | None, float | None, float | None]:
    batches = share.batches if share else None
    return (batches.n, batches.low, batches.high) if batches else (None, None, None)


def csv_text(header: Sequence[str], lines: Sequence[Sequence[Any]]) -> str:
    """Return CSV text: None is an empty cell, hostile text is made harmless."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    for line in (header, *lines):
        writer.writerow([_harmless(value) for value in line])
    return stream.getvalue()


def _harmless(value: Any) -> Any:
    """Put an apostrophe before text that a spreadsheet would run as a formula."""
    if isinstance(value, bool):
        return str(value).lower()
    if not isinstance(value, str):
        return value
    text = visible(value)
    return f"'{text}" if text.lstrip()[:1] in {"=", "+", "-", "@"} else text
