"""The verdicts of a run: for every setting, model and column the verdict on every image. No torch here."""

from __future__ import annotations

from collections.abc import Iterable

from robench.record.measures.draws import worst_outcome
from robench.record.parts import CLEAN
from robench.record.schema import Record, Status
from robench.record.threat_summary import ThreatSummary, threat_summary_of

WORST = "worst case"

Setting = tuple[str, str, str, ThreatSummary]
"""Values that two numbers must share to be comparable: data set, split, set of images, threat."""

Verdict = bool | str
"""Whether an image is right; for a random model one 1 or 0 for each fresh draw."""

Verdicts = dict[Setting, dict[str, dict[str, dict[int, Verdict]]]]
"""Setting to model to column (an attack's label, `clean` or `worst case`) to image to its verdict."""

Point = tuple[str, bool]
"""Outcome of an attack on an image: a 1 or 0 for each draw, and whether it stands in the attacked draw."""


def verdicts(records: Iterable[Record]) -> Verdicts:
    """Return, for every setting, model and column, which images stand.

    An attack's column is the white-box worst case over gradient sources; the worst case is over everything,
    transferred images included, as on the leaderboard. Clean results join every setting of their images.
    """
    clean: dict[tuple[str, str, str], dict[str, dict[int, Verdict]]] = {}
    points: dict[tuple[Setting, str, str], dict[int, list[Point]]] = {}
    searches: list[tuple[Setting, str, Record]] = []
    for record in {r.key: r for r in records}.values():
        setting, name, label = setting_of(record), record.target.name, record.attack.label
        rows = points_of(record)
        if label == CLEAN:
            # In the clean evaluation, without an attack, the robust images are the right ones.
            clean.setdefault(setting[:3], {}).setdefault(name, {}).update(
                (i, _plain(draws)) for i, draws, _ in rows
            )
            continue
        places = (*([column_of(label)] if record.white_box else []), WORST)
        if record.certificates:
            certainties = zip(record.columns.index, record.certificates.certified, strict=True)
            rows, places = [(i, "01"[sure], bool(sure)) for i, sure in certainties], (column_of(label),)
            searches.append((setting, name, record))
        for column in places:
            outcomes = points.setdefault((setting, name, column), {})
            for index, draws, stands in rows:
                outcomes.setdefault(index, []).append((draws, stands))
    for setting, name, record in searches:
        add_search(points.get((setting, name, WORST), {}), record)
    answers: Verdicts = {}
    for (setting, name, column), outcomes in points.items():
        clean_outcomes = clean.get(setting[:3], {}).get(name, {})
        answers.setdefault(setting, {}).setdefault(name, {})[column] = {
            index: worst_verdict(of_image, clean_outcomes.get(index)) for index, of_image in outcomes.items()
        }
    for images, models in clean.items():
        fitting = [setting for setting in answers if setting[:3] == images]
        for setting in fitting or [(*images, ThreatSummary())]:
            for name, table in models.items():
                columns_of = answers.setdefault(setting, {}).setdefault(name, {})
                columns_of[CLEAN] = table
    return answers


def setting_of(record: Record) -> Setting:
    """Return the setting of a record: only numbers of the same setting are comparable."""
    data = record.dataset
    return data.name, data.split, data.set or data.digest, threat_summary_of(record.threat)


def points_of(record: Record) -> list[tuple[int, str, bool]]:
    """Return for each image of a record its index, its draws and whether it stands; see `Point`."""
    columns = record.columns
    robust = [status == Status.ROBUST for status in columns.status]
    return list(zip(columns.index, columns.stood or ["01"[r] for r in robust], robust, strict=True))


def column_of(label: str) -> str:
    """Return the column of an attack: its label, in quotes if it is the name of the worst case."""
    return f'"{label}"' if label == WORST else label


def add_search(worst: dict[int, list[Point]], record: Record) -> None:
    """Add the images that a search for a bound broke to a worst case, if there is one."""
    for index, status in zip(record.columns.index, record.columns.status, strict=True):
        if status == Status.BROKEN and index in worst:
            worst[index].append(("0", False))


def worst_verdict(points: list[Point], clean: Verdict | None) -> Verdict:
    """Return the worst verdict on an image over several attacks.

    Args:
        points: outcomes of the attacks.
        clean: the verdict on the clean image, an additional point for a random model; for other models each
            record includes it already.
    """
    alone = [(clean, True)] if isinstance(clean, str) else []
    return _plain(worst_outcome([*points, *alone]))


def _plain(draws: str) -> Verdict:
    return draws if len(draws) > 1 else draws == "1"
