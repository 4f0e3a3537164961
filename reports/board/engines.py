"""What the attacks asked: a proven copy of each network or the network itself, and why not a faster one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from robench.record.schema import Record

HEADER = ("Model", "Asked", "Units", "Not used, and why")


def engine_cells(records: Iterable[Record]) -> tuple[list[str], list[list[str]]]:
    """Return a header and, for every model and engine, how many white-box units it served.

    Records of earlier versions do not say it and are left out.
    """
    units: Counter[tuple[str, str]] = Counter()
    reasons: dict[tuple[str, str], dict[str, str]] = {}
    for record in records:
        engine = record.provenance.engine
        if not record.white_box or engine is None:
            continue
        place = (record.target.name, engine.used)
        units[place] += 1
        reasons.setdefault(place, {}).update(engine.not_used)
    rows = [
        [model, used, str(count), "; ".join(f"{k}: {v}" for k, v in reasons[model, used].items()) or "-"]
        for (model, used), count in units.items()
    ]
    return list(HEADER), rows
