"""Compares two runs image by image: differences, their sizes and their significance. No torch here."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from robench.errors import ConfigError, nearest
from robench.plurals import counted
from robench.record.comparison.attackers import attackers, lacking, worst_over_shared
from robench.record.comparison.run_verdicts import WORST, Setting, Verdict, Verdicts, column_of, verdicts
from robench.record.measures.draws import mean_interval, paired_p_value, share_stood
from robench.record.measures.statistics import gap_interval, mcnemar
from robench.record.parts import CLEAN
from robench.record.schema import Record
from robench.record.threat_summary import setting_text


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
        only_first: images that only the first gets right; for random models, more often right.
        only_second: images that only the second gets right; for random models, more often right.
        changes: for random models, per image the second's share of right fresh draws minus the first's.
        probability: for random models, the p-value of the sign-flip test.
        left_out: for a worst case, which is over the attackers of both models: the attackers of only the
            first and of only the second, in words.
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
    left_out: tuple[tuple[str, ...], tuple[str, ...]] = ((), ())

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
        """The p-value of the exact McNemar test; for random models, of the sign-flip test."""
        if self.probability is not None:
            return self.probability
        return mcnemar(self.only_first, self.only_second)


def differences(
    first: Iterable[Record], second: Iterable[Record], *, pairs: Sequence[tuple[str, str]] = ()
) -> list[Difference]:
    """Compare two runs, column by column, over the images both judged.

    Args:
        first: records of one run.
        second: records of the other; the same records may be given to compare two models of one run.
        pairs: models of the first run with models of the second; by default those of the same name.

    Raises:
        ConfigError: a named model does not exist, or nothing can be compared.
    """
    first, second = list(first), list(second)
    before, after = verdicts(first), verdicts(second)
    _check(pairs, before, after)
    attackers_of = attackers(first), attackers(second)
    result = []
    for setting, models in before.items():
        others = after.get(setting, {})
        for one, two in pairs or [(name, name) for name in models]:
            columns = models.get(one, {})
            for column in sorted(columns, key=lambda name: (name == WORST) - (name == CLEAN)):
                ours = columns[column]
                if (again := others.get(two, {}).get(column)) is None:
                    continue
                left_out: tuple[list[str], ...] = [], []
                if column == WORST:
                    own, other = attackers_of[0][setting, one], attackers_of[1][setting, two]
                    clean = columns.get(CLEAN, {}), others[two].get(CLEAN, {})
                    ours, again = worst_over_shared(own, other, clean)
                    left_out = tuple(
                        [words for _, words in lacking(*each)] for each in ((own, other), (other, own))
                    )
                if images := sorted(ours.keys() & again.keys()):
                    result.append(_difference(setting, one, two, column, images, ours, again, left_out))
    if not result:
        raise ConfigError(
            where="compare",
            expected="two runs of the same images that share a threat model and the name of a model",
            got=f"{_names(before)} and {_names(after)}",
            do="Name two models with --pair FIRST=SECOND, or compare runs of the same images and threat: as "
            "many images, from the same place",
        )
    return result


@dataclass(frozen=True, slots=True, kw_only=True)
class Unmatched:
    """Results that only the first of two runs has, as lines of text.

    Attributes:
        columns: settings, models and columns, and images of a column.
        attackers: of worst cases that both runs have; `Difference.left_out` names them too.
    """

    columns: tuple[str, ...]
    attackers: tuple[str, ...]

    def __bool__(self) -> bool:
        """Whether there is any."""
        return bool(self.columns or self.attackers)


def unmatched(
    first: Iterable[Record],
    second: Iterable[Record],
    *,
    pairs: Sequence[tuple[str, str]] = (),
    second_name: str = "B",
) -> Unmatched:
    """Return in words what the first run judged and the second did not, so that no check overlooks it.

    Args:
        first: records of one run.
        second: records of the other.
        pairs: as in `differences`; if there are any, only their models are compared.
        second_name: name of the second run in the lines.
    """
    first, second = list(first), list(second)
    before, after = verdicts(first), verdicts(second)
    attackers_of = attackers(first), attackers(second)
    lines: list[str] = []
    attacks: list[str] = []
    for setting, models in before.items():
        place = _text(setting)
        if setting not in after:
            lines.append(f"{place}: not in {second_name}, which has no such images or threat")
            continue
        for one, two in pairs or [(name, name) for name in models]:
            if one not in models:
                continue
            if two not in after[setting]:
                lines.append(f"{place}: model {two} not in {second_name}")
                continue
            for column, ours in models[one].items():
                again = after[setting][two].get(column)
                if again is None:
                    lines.append(f"{place}: {column} on {two} not in {second_name}")
                elif losses := len(ours.keys() - again.keys()):
                    what = f"{losses} of {counted(len(ours), 'image')} of {column} on {two}"
                    lines.append(f"{place}: {what} not in {second_name}")
            own, other = attackers_of[0].get((setting, one), []), attackers_of[1].get((setting, two), [])
            attacks += [
                f"{place}: in the worst case on {two}, {what} not in {second_name}"
                for label, what in lacking(own, other)
                if column_of(label) in after[setting][two]
            ]
    return Unmatched(columns=tuple(lines), attackers=tuple(attacks))


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
    left_out: Sequence[Sequence[str]],
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
        left_out=(tuple(left_out[0]), tuple(left_out[1])),
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
    settings = sorted(
        f"{s[0]} {s[1]} ({_size(columns)}, {s[2][:8]}), {setting_text(s[3])}" for s, columns in table.items()
    )
    return f"{', '.join(models) or 'no model'} on {', '.join(settings) or 'nothing'}"


def _size(models: dict[str, dict[str, dict[int, Verdict]]]) -> str:
    images = {index for columns in models.values() for column in columns.values() for index in column}
    return counted(len(images), "image")
