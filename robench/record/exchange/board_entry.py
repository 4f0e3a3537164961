"""An entry of a board of many runs: the contents of one run folder or submission. No torch here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from robench.record.folder import Fault
from robench.record.schema import Record


@dataclass(frozen=True, slots=True, kw_only=True)
class BoardEntry:
    """One run on a board of many runs.

    Attributes:
        title: its name on the site; no two entries share one.
        root: its folder, or the folder of an unpacked submission.
        records: its records.
        faults: its unreadable parts.
        day: when it was measured, `YYYY-MM-DD`; empty if unknown.
        submitted: whether it is a submission file.
        judged_again: results of judging the images that broke its models again, by model; empty if that was
            not done.
    """

    title: str
    root: Path
    records: tuple[Record, ...]
    faults: tuple[Fault, ...] = ()
    day: str = ""
    submitted: bool = False
    judged_again: Mapping[str, str] = field(default_factory=dict)
