"""Two runs side by side, image by image: what differs, how surely, and by how much. No torch here."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from robench.errors import ConfigError, nearest
from robench.plurals import counted
from robench.record.draws import mean_interval, paired_p_value, share_stood, worst_outcome
from robench.record.parts import CLEAN
from robench.record.plain_threat import setting_text
from robench.record.schema import Record, Status
from robench.record.statistics import gap_interval, mcnemar
from robench.record.threat_summary import ThreatSummary, threat_summary_of

WORST = "worst case"

Setting = tuple[str, str, str, ThreatSummary]
"""What two numbers must share to be compared: data set, split, set of images, threat."""

Verdict = bool | str
"""Whether an image is right; of a random model one 1 or 0 for each fresh draw."""

Verdicts = dict[Setting, dict[str, dict[str, dict[int, Verdict]]]]
"""Setting to model to column (an attack's label, `clean` or `worst case`) to image to its verdict."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One column of one model in two runs, over the images both judged.

    Attributes:
        setting: data and threat in words.
        model: name of the model, or `first -> second` for two different ones.
        column: an attack's label, `clean` or `worst case`.
        n: images judged in both.
        first: accuracy in the first run, in [0, 1].
        second: accuracy in the second run, in [0, 1].
        only_first: images that only the first gets right; of random models, more often right.
        only_second: images that only the second gets right; of random models, more often right.
        changes: of random models, per image the second's share of right fresh draws minus the first's.
        probability: of random models, the p-value of the sign-flip test.
    """

    setting: str
    model: str
    column: str
    n: int
    first: float
    second: float
    only_first: int
    only_second: int
    changes: tuple[float, ...] = ()
    probability: float | None = None

    @property
    def gap(self) -> float:
        """Second minus first, in [-1, 1]."""
        return self.second - self.first if self.changes else (self.only_second - self.only_first) / self.n

    @property
    def interval(self) -> tuple[float, float]:
        """The score interval (95 %) of the gap for paired proportions (Tango 1998)."""
        if self.changes:
            return mean_interval(self.changes)
        return gap_interval(self.n, self.only_first, self.only_second)

    @property
    def p_value(self) -> float:
        """Of the exact McNemar test; of random models, of the sign-flip test."""
        if self.probability is not None:
            return self.probability
        return mcnemar(self.only_first, self.only_second)


def verdicts(records: Iterable[Record]) -> Verdicts:
    """Return, for every setting, model and column, which images stand.

    An attack's column is the white-box worst case over gradient sources; the worst case is over everything,
    transferred images included, as on the leaderboard. Clean results join every setting of their images.
    """
    unique = list({r.key: r for r in records}.values())
    clean: dict[tuple[str, str, str], dict[str, dict[int, Verdict]]] = {}
    points: dict[tuple[Setting, str, str], dict[int, list[tuple[str, bool]]]] = {}
    searches: list[tuple[Setting, str, Record]] = []
    for record in unique:
        data = record.dataset
        images = (data.name, data.split, data.set or data.digest)
        name, label = record.target.name, record.attack.label
        columns = record.columns
        robust = [status == Status.ROBUST for status in columns.status]
        rows = list(zip(columns.index, columns.stood or ["01"[r] for r in robust], robust, strict=True))
        if label == CLEAN:
            # The clean evaluation knows of no attack: its robust images are the right ones.
            clean.setdefault(images, {}).setdefault(name, {}).update(
                (i, _plain(draws)) for i, draws, _ in rows
            )
            continue
        setting = (*images, threat_summary_of(record.threat))
        places = (*([_column_of(label)] if record.white_box else []), WORST)
        if record.certificates:
            certainties = zip(columns.index, record.certificates.certified, strict=True)
            rows, places = [(i, "01"[sure], bool(sure)) for i, sure in certainties], (_column_of(label),)
            searches.append((setting, name, record))
        for column in places:
            outcomes = points.setdefault((setting, name, column), {})
            for index, draws, stands in rows:
                outcomes.setdefault(index, []).append((draws, stands))
    for setting, name, record in searches:
        _add_search(points.get((setting, name, WORST), {}), record)
    answers: Verdicts = {}
    for (setting, name, column), outcomes in points.items():
        clean_outcomes = clean.get(setting[:3], {}).get(name, {})
        answers.setdefault(setting, {}).setdefault(name, {})[column] = {
            index: _plain(worst_outcome([*points_of, *_left_alone(clean_outcomes.get(index))]))
            for index, points_of in outcomes.items()
        }
    for images, models in clean.items():
        fitting = [setting for setting in answers if setting[:3] == images]
        for setting in fitting or [(*images, ThreatSummary())]:
            for name, table in models.items():
                columns_of = answers.setdefault(setting, {}).setdefault(name, {})
                columns_of[CLEAN] = table
    return answers


def _column_of(label: str) -> str:
    """Return the column of an attack: its label, in quotes where it is the name of the worst case."""
    return f'"{label}"' if label == WORST else label


def _add_search(worst: dict[int, list[tuple[str, bool]]], record: Record) -> None:
    """Let what a search for a bound broke count in a worst case, where there is one."""
    for index, status in zip(record.columns.index, record.columns.status, strict=True):
        if status == Status.BROKEN and index in worst:
            worst[index].append(("0", False))


def _plain(draws: str) -> Verdict:
    return draws if len(draws) > 1 else draws == "1"


def _left_alone(draws: Verdict | None) -> list[tuple[str, bool]]:
    """Return the clean image as one more point of a random model; of another, each record counts it."""
    return [(draws, True)] if isinstance(draws, str) else []


def differences(
    first: Iterable[Record], second: Iterable[Record], *, pairs: Sequence[tuple[str, str]] = ()
) -> list[Difference]:
    """Compare two runs, column by column, over the images both judged.

    Args:
        first: records of one run.
        second: records of the other; the same records may be given to compare two models of one run.
        pairs: models of the first run with models of the second; by default those of the same name.

    Raises:
        ConfigError: a named model is not there, or nothing can be compared.
    """
    before, after = verdicts(first), verdicts(second)
    _check(pairs, before, after)
    result = []
    for setting, models in before.items():
        others = after.get(setting, {})
        for one, two in pairs or [(name, name) for name in models]:
            columns = models.get(one, {})
            for column in sorted(columns, key=lambda name: (name == WORST) - (name == CLEAN)):
                ours = columns[column]
                if (again := others.get(two, {}).get(column)) is None:
                    continue
                if images := sorted(ours.keys() & again.keys()):
                    result.append(_difference(setting, one, two, column, images, ours, again))
    if not result:
        raise ConfigError(
            where="compare",
            expected="two runs that share a data set, a threat model and the name of a model",
            got=f"{_names(before)} and {_names(after)}",
            do="Name two models with --pair FIRST=SECOND, or compare runs of the same images and threat",
        )
    return result


def unmatched(
    first: Iterable[Record], second: Iterable[Record], *, pairs: Sequence[tuple[str, str]] = ()
) -> list[str]:
    """Return in words what the first run judged and the second did not, so that no gate passes over it.

    Args:
        first: records of one run.
        second: records of the other.
        pairs: as in `differences`; only models of a pair are looked at where there are any.
    """
    first, second = list(first), list(second)
    before, after = verdicts(first), verdicts(second)
    attackers = _attackers(first), _attackers(second)
    lines = []
    for setting, models in before.items():
        place = _text(setting)
        if setting not in after:
            lines.append(f"{place}: not in B, which has no such images or threat")
            continue
        for one, two in pairs or [(name, name) for name in models]:
            if one not in models:
                continue
            if two not in after[setting]:
                lines.append(f"{place}: model {two} not in B")
                continue
            for column, ours in models[one].items():
                again = after[setting][two].get(column)
                if again is None:
                    lines.append(f"{place}: {column} on {two} not in B")
                elif losses := len(ours.keys() - again.keys()):
                    lines.append(
                        f"{place}: {losses} of {counted(len(ours), 'image')} of {column} on {two} not in B"
                    )
            there = after[setting][two]
            lines += [
                f"{place}: in the worst case on {two}, {what} not in B"
                for label, what in _fewer(
                    attackers[0].get((setting, one), []), attackers[1].get((setting, two), [])
                )
                if _column_of(label) in there
            ]
    return lines


def _attackers(records: Iterable[Record]) -> dict[tuple[Setting, str], list[Record]]:
    """Return the records of attacks on each model under each setting: the worst case is over all of them."""
    attackers: dict[tuple[Setting, str], list[Record]] = {}
    for record in records:
        if not record.attack.is_clean and not record.certificates:
            data = record.dataset
            setting = (data.name, data.split, data.set or data.digest, threat_summary_of(record.threat))
            attackers.setdefault((setting, record.target.name), []).append(record)
    return attackers


def _fewer(first: Sequence[Record], second: Sequence[Record]) -> list[tuple[str, str]]:
    """Return which attacks of the first the second lacks: label, and what is missing in words.

    Sources of transfer are compared by name, those of the two models themselves apart. Gradient sources are
    compared where both are the same model: another one has others.
    """
    if not first or not second:
        return []
    one, two = first[0].target, second[0].target
    alike = one.fingerprint == two.fingerprint

    def of(records: Sequence[Record], other: str) -> dict[tuple[str, str, str], str]:
        lacks: dict[tuple[str, str, str], str] = {}
        for record in records:
            name, through = record.source.name, record.source.gradient_source if alike else ""
            place = "" if record.white_box else "other" if name == other else f"of {name}"
            origin = "" if record.white_box else f" crafted on {name}"
            words = f"{record.attack.label}{origin}{f' through {through}' if through else ''}"
            lacks.setdefault((record.attack.label, place, through), words)
        return lacks

    mine, theirs = of(first, two.name), of(second, one.name)
    return [(place[0], words) for place, words in mine.items() if place not in theirs]


def _text(setting: Setting) -> str:
    data, split, _, threat = setting
    return f"{data} {split}, {setting_text(threat)}"


def _difference(
    setting: Setting,
    one: str,
    two: str,
    column: str,
    images: list[int],
    before: dict[int, Verdict],
    again: dict[int, Verdict],
) -> Difference:
    left, right = (
        [one if isinstance(one, str) else "01"[one] for one in (table[i] for i in images)]
        for table in (before, again)
    )
    changes = [share_stood(b) - share_stood(a) for a, b in zip(left, right, strict=True)]
    random = any(len(draws) > 1 for draws in (*left, *right))
    return Difference(
        setting=_text(setting),
        model=one if one == two else f"{one} -> {two}",
        column=column,
        n=len(images),
        first=sum(map(share_stood, left)) / len(images),
        second=sum(map(share_stood, right)) / len(images),
        only_first=sum(change < 0 for change in changes),
        only_second=sum(change > 0 for change in changes),
        changes=tuple(changes) if random else (),
        probability=paired_p_value(left, right) if random else None,
    )


def _check(pairs: Sequence[tuple[str, str]], before: Verdicts, after: Verdicts) -> None:
    for name, side, table in (
        *((one, "the first run", before) for one, _ in pairs),
        *((two, "the second run", after) for _, two in pairs),
    ):
        names = sorted({model for models in table.values() for model in models})
        if name not in names:
            raise ConfigError(
                where="--pair", expected=f"a model of {side}", got=repr(name), do=nearest(name, names)
            )


def _names(table: Verdicts) -> str:
    models = sorted({model for models in table.values() for model in models})
    settings = sorted({f"{s[0]} {s[1]} (images {s[2][:8]}), {setting_text(s[3])}" for s in table})
    return f"{', '.join(models) or 'no model'} on {', '.join(settings) or 'nothing'}"
