"""What was measured on a board, one entry per (target, source, attack, gradient source), and transfers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from reports.board.boards import Measurement, Transfer
from reports.board.samples import Samples, attack_of, fingerprint_of, lines_of, model_of
from reports.board.shares import Share, draws_of, is_random, one_draw_share, robust_share
from robench.record.schema import Record, Status

if TYPE_CHECKING:
    import pandas as pd


def measurements(samples: Samples) -> tuple[Measurement, ...]:
    """Return what every attack through every gradient source did to every target, its shards together."""
    groups: dict[tuple[str, str, str, str], list[Record]] = {}
    for record in samples.attacked:
        gradient_source = record.source.gradient_source
        place = (model_of(record.target), model_of(record.source), attack_of(record), gradient_source)
        groups.setdefault(place, []).append(record)
    return tuple(_measurement(samples, *place, records) for place, records in groups.items())


def _measurement(
    samples: Samples,
    target: str,
    source: str,
    attack: str,
    gradient_source: str,
    records: Sequence[Record],
) -> Measurement:
    table = lines_of(
        samples.table, target=target, source=source, attack=attack, gradient_source=gradient_source
    )
    smallest = median_sizes(table)
    first = records[0].attack
    return Measurement(
        target=samples.names[target],
        target_fingerprint=fingerprint_of(target),
        source=samples.names[source],
        source_fingerprint=fingerprint_of(source),
        white_box=target == source,
        attack=samples.labels[attack],
        plugin=first.name,
        library=first.library,
        gradient_source=gradient_source,
        robust=robust_share(table, lines_of(samples.clean_table, target=target)) or Share(0, 0),
        broken=_images(table, Status.BROKEN),
        misclassified=_images(table, Status.MISCLASSIFIED),
        failed=_images(table, Status.FAILED),
        median_l2=smallest[0],
        median_linf=smallest[1],
        forwards=float(table["forwards"].mean()) if len(table) else 0.0,
        backwards=float(table["backwards"].mean()) if len(table) else 0.0,
        findings=_codes(records),
        draws=draws_of(records),
        one_draw=one_draw_share(table) if is_random(table) else None,
    )


def _images(table: pd.DataFrame, status: Status) -> int:
    return int(table.loc[table["status"] == status, "index"].nunique())


def transfers(samples: Samples) -> tuple[Transfer, ...]:
    """Return the robust accuracy of every target on every source's images; none where all is white-box."""
    if all(model_of(r.source) == model_of(r.target) for r in samples.attacked):
        return ()
    accuracies = []
    pairs = dict.fromkeys((model_of(r.source), model_of(r.target)) for r in samples.attacked)
    for source, target in pairs:
        table = lines_of(samples.table, source=source, target=target)
        tables = {label: lines_of(table, attack=key) for key, label in samples.labels.items()}
        for attack, part in {**tables, "": table}.items():
            if (share := robust_share(part, lines_of(samples.clean_table, target=target))) is not None:
                names = samples.names
                accuracies.append(
                    Transfer(source=names[source], target=names[target], attack=attack, robust=share)
                )
    return tuple(accuracies)


def median_sizes(table: pd.DataFrame) -> tuple[float | None, float | None]:
    """Return the medians over broken images of the smallest L2 and Linf perturbation that broke each."""
    broken = table[table["status"] == Status.BROKEN]
    if broken.empty:
        return None, None
    least = broken.groupby("index")[["l2", "linf"]].min()
    return float(least["l2"].median()), float(least["linf"].median())


def _codes(records: Iterable[Record]) -> tuple[str, ...]:
    return tuple(sorted({finding.code for record in records for finding in record.findings}))
