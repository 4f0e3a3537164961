"""What a board of many runs is made of: one run folder or submission, read. No torch here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from robench.record.folder import Fault
from robench.record.schema import Record


@dataclass(frozen=True, slots=True, kw_only=True)
class BoardEntry:
    """One run of a board of many.

    Attributes:
        title: its name on the site; no two entries share one.
        root: its folder, or that which a submission was unpacked into.
        records: what it measured.
        faults: what of it cannot be read.
        day: when it was measured, `YYYY-MM-DD`; empty where nothing tells.
        submitted: whether it is a submission file.
        judged_again: what came of asking its models again about the images that broke them, by model; empty
            where nobody asked.
    """

    title: str
    root: Path
    records: tuple[Record, ...]
    faults: tuple[Fault, ...] = ()
    day: str = ""
    submitted: bool = False
    judged_again: Mapping[str, str] = field(default_factory=dict)
