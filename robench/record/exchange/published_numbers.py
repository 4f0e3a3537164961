"""Published numbers of others: RobustBench's files of model infos, read strictly. No torch here.

RobustBench has one JSON object for each model, in folders `model_info/DATASET/THREAT/`. Only the folder's
name gives the norm; the numbers are texts, in percent.
"""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from robench.errors import ConfigError, StorageError
from robench.plan.norm_names import NORMS
from robench.plan.radius import radius
from robench.record.files import read_text
from robench.record.strict_json import described

THREATS = (*NORMS, "corruptions")
"""Names of folders, which give the threat of the numbers in them."""
MOST_BYTES = 2**24
"""Most bytes of one file: RobustBench's files have about 500."""
MOST_FILES = 10_000
"""Most files that are read of a folder of model infos."""
_LINK = re.compile(r"https?://[^\s<>\"']{1,500}", re.ASCII)
_NUMBERS = {"autoattack_acc": "AutoAttack", "corruptions_acc": "common corruptions"}


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedNumber:
    """RobustBench's numbers of one model under one threat; shares are in [0, 1].

    Attributes:
        model: its name there, which is the name of the file.
        title: of the paper.
        authors: of the paper.
        venue: where the paper was published.
        link: web address of the paper; empty if there is none.
        dataset: such as `cifar10`.
        threat: one of `THREATS`.
        eps_text: the radius as published, empty for none.
        architecture: of the network.
        extra_data: whether it was trained on more data; None if unknown.
        passes: forward passes of one prediction; None if unknown.
        clean: accuracy on clean images.
        robust: accuracy in the evaluation `measure`.
        measure: how `robust` was measured.
        reported: robust accuracy that the paper reports.
        external: robust accuracy under a stronger attack by others.
        unreliable: whether RobustBench marks the number as unreliable.
        note: its footnote.
    """

    model: str
    title: str
    authors: str
    venue: str
    link: str
    dataset: str
    threat: str
    eps_text: str
    architecture: str
    extra_data: bool | None
    passes: int | None
    clean: float
    robust: float
    measure: str
    reported: float | None = None
    external: float | None = None
    unreliable: bool = False
    note: str = ""

    @property
    def best_known(self) -> float:
        """The lower of `robust` and `external`."""
        return self.robust if self.external is None else min(self.robust, self.external)

    @property
    def eps(self) -> float | None:
        """The radius as a number; None for none."""
        return radius(self.eps_text)[0] if self.eps_text else None


def read_published(paths: Sequence[str]) -> list[PublishedNumber]:
    """Read files of model infos, or folders of them.

    Args:
        paths: each a JSON file or a folder; the norm is the name of a file's folder, or is written before the
            path, as in `Linf=FILE.json`.

    Raises:
        ConfigError: no such file, not JSON of this format, no norm, or a number outside [0, 100]; names file
            and field.
    """
    return [number for text in paths for path, threat in _files(text) for number in _read(path, threat)]


def _files(text: str) -> Iterator[tuple[Path, str]]:
    before, sign, rest = text.partition("=")
    threat, path = (before, Path(rest)) if sign and before in THREATS else ("", Path(text))
    if path.is_dir():
        files = sorted(path.rglob("*.json"))
        if not files or len(files) > MOST_FILES:
            expected = f"a folder with 1 to {MOST_FILES} JSON files"
            raise ConfigError(where=str(path), expected=expected, got=str(len(files)))
        yield from ((file, threat) for file in files)
        return
    yield path, threat


def _read(path: Path, threat: str) -> list[PublishedNumber]:
    where = str(path)
    if not os.path.lexists(path):
        do = "Name a JSON file of RobustBench's model_info, or a folder of them"
        raise ConfigError(where=where, expected="a file of published numbers", got="no such file", do=do)
    try:
        data = json.loads(read_text(path, most=MOST_BYTES) or "")
    except StorageError as error:
        raise ConfigError(where=where, expected=error.expected, got=error.got) from None
    except (ValueError, RecursionError) as error:
        raise ConfigError(where=where, expected="readable JSON", got=str(error)[:200]) from None
    threat = threat or next((part for part in (path.resolve().parent.name,) if part in THREATS), "")
    if not threat:
        do = f"Keep it in a folder of that name, as RobustBench does, or write Linf={path.name}"
        expected = f"the norm ({', '.join(THREATS)}) as the name of the file's folder"
        raise ConfigError(where=where, expected=expected, got=repr(path.resolve().parent.name), do=do)
    if isinstance(data, list):
        return [_number(one, path.stem, threat, f"{where}[{at}]") for at, one in enumerate(data)]
    if isinstance(data, dict) and data and "clean_acc" not in data:
        return [_number(one, name, threat, f"{where}:{name[:80]}") for name, one in data.items()]
    return [_number(data, path.stem, threat, where)]


def _number(info: Any, model: str, threat: str, where: str) -> PublishedNumber:
    if not isinstance(info, dict):
        expected = "a model info of RobustBench: an object with clean_acc"
        raise ConfigError(where=where, expected=expected, got=described(info))
    key = next((name for name in _NUMBERS if info.get(name) is not None), "")
    if not key:
        raise ConfigError(where=where, expected=f"one of {', '.join(_NUMBERS)}", got="none of them")
    if (key == "corruptions_acc") != (threat == "corruptions"):
        got = f"{key} in a folder of {threat}"
        raise ConfigError(where=where, expected="autoattack_acc under a norm", got=got)
    clean, robust = _share(info, "clean_acc", where), _share(info, key, where)
    if clean is None or robust is None:
        raise ConfigError(where=where, expected=f"numbers in clean_acc and {key}", got="none")
    eps = "" if threat == "corruptions" else _text(info, "eps", where)
    link = _text(info, "link", where)
    return PublishedNumber(
        model=model,
        title=_text(info, "name", where),
        authors=_text(info, "authors", where),
        venue=_text(info, "venue", where),
        link=link if _LINK.fullmatch(link) else "",
        dataset=_text(info, "dataset", where),
        threat=threat,
        eps_text=_radius(eps, where),
        architecture=_text(info, "architecture", where),
        extra_data=_typed(info, "additional_data", bool, where),
        passes=_typed(info, "number_forward_passes", int, where),
        clean=clean,
        robust=robust,
        measure=_NUMBERS[key],
        reported=_share(info, "reported", where),
        external=_share(info, "external", where),
        unreliable=bool(_typed(info, "unreliable", bool, where)),
        note=_text(info, "footnote", where),
    )


def _radius(text: str, where: str) -> str:
    if text in {"", "None", "null"}:
        return ""
    try:
        radius(text)
    except ConfigError as error:
        raise ConfigError(where=f"{where}: eps", expected=error.expected, got=error.got) from None
    return text


def _text(info: dict[str, Any], name: str, where: str) -> str:
    value = info.get(name)
    if value is None:
        return ""
    if not isinstance(value, str) or len(value) > 5000:
        raise ConfigError(where=f"{where}: {name}", expected="a text", got=described(value)[:200])
    return "" if value == "N/A" else value


def _typed(info: dict[str, Any], name: str, kind: type, where: str) -> Any:
    value = info.get(name)
    if value is not None and type(value) is not kind:
        word = "true or false" if kind is bool else "a whole number"
        raise ConfigError(where=f"{where}: {name}", expected=word, got=described(value)[:200])
    return value


def _share(info: dict[str, Any], name: str, where: str) -> float | None:
    """Return a percentage as a share; None for an empty text, RobustBench's form of an unknown number."""
    value = info.get(name)
    if value is None or (isinstance(value, str) and value.strip() in {"", "N/A", "-"}):
        return None
    try:
        number = float(value) if type(value) in {str, int, float} else math.nan
    except ValueError:
        number = math.nan
    if not 0 <= number <= 100:
        expected = "a percentage from 0 to 100"
        raise ConfigError(where=f"{where}: {name}", expected=expected, got=described(value)[:200])
    return number / 100
