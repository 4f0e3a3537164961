"""How robust a model stands so far, while an evaluation still goes on. No torch here."""

from __future__ import annotations

from dataclasses import dataclass, field

from robench.record.schema import Record, Status
from robench.record.threat_summary import ThreatSummary, threat_summary_of
from robench.run.progress import Standing

Column = tuple[ThreatSummary, str, str, str]
"""Threat, source, target and the attack's label."""


@dataclass(slots=True)
class Standings:
    """Adds up the verdicts of units as they come; one bit is kept for each image of a column."""

    _columns: dict[Column, dict[str, tuple[int, int]]] = field(default_factory=dict)

    def add(self, record: Record) -> Standing:
        """Add a unit and return how its column stands: image by image the worst over gradient sources."""
        names = (record.source.name, record.target.name)
        column = self._columns.setdefault((threat_summary_of(record.threat), *names, record.attack.label), {})
        statuses = record.columns.status
        stands = sum(1 << i for i, status in enumerate(statuses) if status == Status.ROBUST)
        digest = record.dataset.digest
        _, before = column.get(digest, (0, stands))
        column[digest] = (len(statuses), stands & before)
        return Standing(
            attacked=bool(names[0]),
            right=sum(bits.bit_count() for _, bits in column.values()),
            n=sum(count for count, _ in column.values()),
            images=len(statuses),
        )
