"""The plugin: the tables of results as Parquet, each column with a type of its own."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from reports.board.grouping import split_into_boards
from reports.text.csv import Lines, board_facts, image_lines, leaderboard_lines, measurement_lines
from robench.errors import ConfigError
from robench.recipe import Info
from robench.record.files import write_atomic
from robench.record.schema import Record

if TYPE_CHECKING:
    import pyarrow as pa

LAYOUT = "1"
"""Version of the columns, in the metadata of every file as `robench.layout`."""
TEXT = frozenset({
    "dataset", "split", "digest", "norm", "eps_text", "goal", "knowledge", "model", "fingerprint", "head",
    "training", "standing", "findings", "missing", "target", "target_fingerprint", "source",
    "source_fingerprint", "attack", "plugin", "library", "options", "gradient_source", "status",
})  # fmt: skip
WHOLE = frozenset({
    "images", "budget", "rank", "n", "batches", "robust", "broken", "misclassified", "failed", "draws",
    "index", "label", "adversarial", "first_success", "points", "tries", "first_passes", "first_try", "seed",
})  # fmt: skip
TRUTH = frozenset({"partial", "doubted", "joint", "white_box", "minimises"})
"""Columns by the type of their values; any other is a float64. `white_box` of a leaderboard is a share."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parquet:
    """Parquet files: leaderboard.parquet, measurements.parquet (per cell) and images.parquet (per image).

    Needs the package pyarrow.

    Attributes:
        images: write images.parquet, a line for each image and measurement.
    """

    info: ClassVar[Info] = Info(title="Parquet", paper="none; Apache Parquet format 2.6")
    images: bool = True

    def __post_init__(self) -> None:
        """Refuse construction without pyarrow, so that none of several formats is written."""
        check_pyarrow()

    def __call__(self, records: Sequence[Record], folder: Path) -> list[Path]:
        """Write the files and return their paths.

        Raises:
            StorageError: writing to disk failed; older files are intact.
        """
        facts = board_facts(split_into_boards(records))
        tables = {"leaderboard": leaderboard_lines(facts), "measurements": measurement_lines(facts)}
        if self.images:
            tables["images"] = image_lines(records)
        paths = []
        for name, lines in tables.items():
            paths.append(folder / f"{name}.parquet")
            write_atomic(paths[-1], parquet_bytes(lines, schema_of(name, lines[0])))
        return paths


def check_pyarrow() -> None:
    """Refuse to go on without pyarrow, before anything is computed.

    Raises:
        ConfigError: says how to install it.
    """
    try:
        import pyarrow.parquet  # noqa: F401
    except ImportError:
        do = "Run `pip install pyarrow`"
        raise ConfigError(where="parquet", expected="the package pyarrow", got="none", do=do) from None


def schema_of(name: str, columns: Sequence[str]) -> pa.Schema:
    """Return the types of a table's columns.

    Args:
        name: `leaderboard`, `measurements` or `images`.
        columns: their names, in order.
    """
    import pyarrow as pa

    def type_of(column: str) -> pa.DataType:
        if column in TEXT:
            return pa.string()
        if column in WHOLE or (name == "images" and column == "clean"):  # there a predicted class
            return pa.int64()
        truth = column in TRUTH and not (name == "leaderboard" and column == "white_box")
        return pa.bool_() if truth else pa.float64()

    meta = {"robench.table": name, "robench.layout": LAYOUT}
    return pa.schema([pa.field(column, type_of(column)) for column in columns], metadata=meta)


def parquet_bytes(lines: Lines, schema: pa.Schema) -> bytes:
    """Return a table as the bytes of a Parquet file."""
    import pyarrow as pa
    from pyarrow import parquet

    columns = list(zip(*lines[1], strict=True)) or [() for _ in schema]
    arrays = [
        pa.array([_value(value, one.type) for value in values], type=one.type)
        for values, one in zip(columns, schema, strict=True)
    ]
    stream = io.BytesIO()
    parquet.write_table(pa.Table.from_arrays(arrays, schema=schema), stream)
    return stream.getvalue()


def _value(value: Any, kind: pa.DataType) -> Any:
    """Return a value in the type of its column."""
    import pyarrow as pa

    if value is None:
        return None
    if kind == pa.string():
        return str(value).encode("utf-8", "backslashreplace").decode()
    return float(value) if kind == pa.float64() else value
