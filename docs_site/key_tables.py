"""The tables of keys in docs/configuration.md, made from what reads a configuration: `make docs-tables`.

Keys, types and defaults come from the entries of `robench.plan`, so none can be missing or wrong. What a key
means is written by hand in the table, and stays.
"""

from __future__ import annotations

import types
from collections.abc import Iterator
from typing import Annotated, Any, Union, get_args, get_origin

from annotated_types import Ge
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from robench.plan.entry import Different, Entry, OneOf
from robench.plan.grammar import Configuration, DataEntry, ModelEntry, NormalizeEntry, TrainEntry
from robench.plan.spec import Choice
from robench.plan.threat_entry import AttackEntry, BoundEntry, ThreatEntry

TABLES: tuple[type[Entry], ...] = (Configuration, DataEntry, ModelEntry, TrainEntry, ThreatEntry)
"""The mappings of a configuration that have a table."""

HEAD = "| key | type | default | meaning |\n|---|---|---|---|"

IN_WORDS = {
    ("Configuration", "schema"): "1",
    ("Configuration", "name"): "plain name",
    ("Configuration", "dataset"): "name or mapping",
    ("DataEntry", "name"): "data set plugin",
    ("DataEntry", "limit"): "whole number from 1, or null",
    ("DataEntry", "labelled"): "whole number from 1, at most `limit`",
    ("ModelEntry", "name"): "plain name",
    ("ModelEntry", "checkpoint"): "path",
    ("ModelEntry", "sha256"): "64 hexadecimal digits",
    ("ModelEntry", "key"): "path in the file",
    ("ModelEntry", "features_of"): "name of another model",
    ("ModelEntry", "class_map"): "list of whole numbers",
    ("TrainEntry", "data"): "as *Data*",
    ("ThreatEntry", "eps"): "number, fraction, `inf`, or a list of finite ones",
    ("ThreatEntry", "knowledge"): "list of `weights`, `template`, `randomness`",
    ("ThreatEntry", "budget"): "whole number from 1, or null",
}
"""Types that a function decides, or that say more in words."""


def keys_of(entry: type[Entry]) -> Iterator[tuple[str, FieldInfo]]:
    """Yield each key of a mapping, with what pydantic knows of it."""
    for name, field in entry.model_fields.items():
        yield field.alias or name, field


def type_of(entry: type[Entry], key: str, field: FieldInfo) -> str:
    """Return in words what a key's value may be.

    Raises:
        LookupError: nothing is written about it yet.
    """
    words = IN_WORDS.get((entry.__name__, key)) or _words(field.annotation, list(field.metadata))
    if not words:
        place = f"{entry.__name__}.{key}"
        raise LookupError(
            f"no words for the type of {place}: add them to IN_WORDS in docs_site/key_tables.py"
        )
    return words


PLAIN = {
    int: "whole number",
    bool: "true, false",
    Choice: "name or `{name: options}`",
    AttackEntry: "list",
    BoundEntry: "list",
    NormalizeEntry: "`{mean: [..], std: [..]}`",
}
"""Types that a word or two describe."""


def _words(annotation: Any, metadata: list[Any]) -> str:
    """Return a type in words, from its annotation and the checks beside it; empty where it takes more."""
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _words(parts[0], [*metadata, *parts[1:]])
    if origin in (Union, types.UnionType):  # null means that a key is not given
        return _words(next(part for part in parts if part is not type(None)), metadata)
    for check in (getattr(item, "func", None) for item in metadata):
        if isinstance(check, OneOf):
            return ", ".join(f"`{name}`" for name in check.allowed)
        if isinstance(check, Different):
            return f"list of different {check.what}"
    if origin is list and _words(parts[0], []) == PLAIN[Choice]:
        return "name, `{name: options}`, or a list of them"
    limits = [limit for item in metadata for limit in getattr(item, "metadata", [item])]
    least = next((f" from {limit.ge}" for limit in limits if isinstance(limit, Ge)), "")
    if annotation in PLAIN:
        return PLAIN[annotation] + least
    if origin is dict or (isinstance(annotation, type) and issubclass(annotation, Entry)):
        return "mapping"
    return "list" if origin is list else ""


def default_of(field: FieldInfo, written: str) -> str:
    """Return what a key is where it is not given; words are kept where the default alone says too little."""
    if field.default is PydanticUndefined and field.default_factory is None:
        return "required"
    match field.default:
        case bool() | int() as value:
            text = str(value).lower()
        case str() as name:
            text = f"`{name}`"
        case Choice(name=name):
            text = f"`{name}`"
        case (_, *_) as names:
            text = f"`[{', '.join(names)}]`"
        case _:
            return written or "none"
    return written if written.startswith(text) else text


def table_of(entry: type[Entry], written: str) -> str:
    """Return the table of a mapping's keys.

    Args:
        entry: what reads the mapping.
        written: the table as it stands, whose last column is kept.

    Raises:
        LookupError: a key has no meaning yet.
    """
    rows = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in written.splitlines()[2:]]
    old_rows = {row[0].strip("`"): row for row in rows}
    lines = [HEAD]
    for key, field in keys_of(entry):
        if key not in old_rows:
            raise LookupError(
                f"docs/configuration.md: write a row for `{key}` of {entry.title}, with its meaning"
            )
        _, _, default, meaning = old_rows[key]
        cells = (f"`{key}`", type_of(entry, key, field), default_of(field, default), meaning)
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def with_tables(text: str) -> str:
    """Return the text of docs/configuration.md with each table between its two marks made anew."""
    for entry in TABLES:
        start, end = f"<!-- keys: {entry.__name__} -->\n", "\n<!-- end of keys -->"
        before, rest = text.split(start, maxsplit=1)
        old_table, after = rest.split(end, maxsplit=1)
        text = f"{before}{start}{table_of(entry, old_table)}{end}{after}"
    return text
