"""Records as one tidy table: a line for each image and measurement. No torch here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from robench.record.schema import Record

if TYPE_CHECKING:
    import pandas as pd

FACTS = (
    "model", "source", "gradient_source", "attack", "norm", "eps", "eps_text", "goal", "dataset", "split",
    "seed",
)  # fmt: skip
"""Values that all images of a record share."""
OUTCOMES = (
    "index", "label", "clean", "adversarial", "status", "linf", "l2", "forwards", "backwards",
    "first_success", "points", "tries", "first_passes", "first_try",
)  # fmt: skip
"""Values of each image."""


def frame_of(records: Sequence[Record]) -> pd.DataFrame:
    """Return one row for each image of each record: judging model, attacked model, attack, and results."""
    import pandas as pd

    parts = []
    for record in records:
        columns = {name: getattr(record.columns, name) for name in OUTCOMES}
        has_attack = not record.attack.is_clean
        facts = {
            "model": record.target.name,
            "source": record.source.name,
            "gradient_source": record.source.gradient_source,
            "attack": record.attack.label,
            "norm": record.threat.norm,
            "eps": record.threat.eps if has_attack else 0.0,
            "eps_text": record.threat.eps_text,
            "goal": record.threat.goal,
            "dataset": record.dataset.name,
            "split": record.dataset.split,
            "seed": record.seed,
        }
        constants = {name: [value] * len(columns["index"]) for name, value in facts.items()}
        parts.append(pd.DataFrame({**constants, **columns}))
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=[*FACTS, *OUTCOMES])
