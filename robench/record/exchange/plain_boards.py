"""The boards of records as plain JSON data, as the report `json` has them. No torch here."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Literal, TypedDict

from robench import plugins
from robench.record.schema import Record


class PlainShare(TypedDict):
    """A proportion of images with the ends of its interval; `batches` is over graphs of a joint model."""

    count: float
    n: int
    batches: Mapping[str, object] | None
    low: float
    high: float


class PlainRow(TypedDict):
    """One model on one board.

    The medians of broken images are in L2, in Linf, and in the norm of any other threat; `median_size` is
    that of all images in the norm of the board, on boards without a radius.
    """

    rank: int | None
    model: str
    fingerprint: str
    head: str
    clean: PlainShare | None
    attacks: dict[str, PlainShare]
    worst_case: PlainShare | None
    white_box: PlainShare | None
    n: int
    median_l2: float | None
    median_linf: float | None
    passes: float | None
    findings: list[str]
    partial: bool
    doubted: bool
    standing: list[str]
    joint: bool
    draws: int
    missing: list[str]
    one_draw: PlainShare | None
    certified: PlainShare | None
    certified_by: dict[str, PlainShare]
    gap: PlainShare | None
    median_own: float | None
    median_size: float | None


class PlainDoubt(TypedDict):
    """One finding about one model; `stands` if it puts it in doubt."""

    model: str
    code: str
    count: int
    evidence: str
    remedy: str
    stands: bool


class PlainBoard(TypedDict):
    """Rows of the same images and threat; without a norm nothing was attacked."""

    dataset: str
    split: str
    digest: str
    n: int
    norm: str
    eps: float | Literal["inf"]
    eps_text: str
    goal: str
    bounds: list[float] | None
    knowledge: list[str] | None
    budget: int | None
    attacks: list[str]
    rows: list[PlainRow]
    cells: list[Mapping[str, object]]
    transfers: list[Mapping[str, object]]
    doubts: list[PlainDoubt]
    certificates: list[str]


class PlainTables(TypedDict):
    """The boards, and the spread over seeds; `schema` is the version of the form."""

    schema: int
    boards: list[PlainBoard]
    over_seeds: list[Mapping[str, object]]


def plain_tables(records: Sequence[Record]) -> PlainTables:
    """Return the boards of records, and the spread over seeds."""
    tables: PlainTables = json.loads(plugins.find("reports", "json")().render(records))
    return tables
