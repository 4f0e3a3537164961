"""Writes plain data as YAML that `robench.plan.yaml_reader` reads back as the same data. No torch here."""

from __future__ import annotations

import json
import math
import re
from typing import Any

_PLAIN = re.compile(r"[A-Za-z_/$][\w./$@+-]*(:[\w./$@+-]+)*", re.ASCII)
"""Text that needs no quotes: words, paths and fractions, which YAML cannot take for other values."""
_WORDS = {"null", "true", "false", "nan", "inf", "yes", "no", "on", "off", "y", "n"}
"""Words that YAML 1.2, or the older YAML 1.1, does not read as text."""
_FRACTION = re.compile(r"\d+(\.\d+)?/\d+(\.\d+)?")
_WIDEST = 90


def write_text(data: Any, *, comment: str = "") -> str:
    """Return mappings with text keys, lists, text, numbers, truth values and None as YAML text.

    Args:
        data: what to write.
        comment: lines to put in front.
    """
    head = "".join(f"# {line}\n" for line in comment.splitlines())
    return head + "".join(f"{line}\n" for line in _block(data))


def _block(value: Any) -> list[str]:
    """Return the lines of a value, not indented; short ones in one line."""
    flow = _flow(value)
    if not isinstance(value, dict | list) or not value or (len(flow) <= _WIDEST and _short(value)):
        return [flow]
    lines: list[str] = []
    if isinstance(value, dict):
        for key, item in value.items():
            inner = _block(item)
            if inner == [_flow(item)]:
                lines.append(f"{_text(str(key))}: {inner[0]}")
            else:
                lines += [f"{_text(str(key))}:", *(f"  {line}" for line in inner)]
        return lines
    for item in value:
        first, *rest = _block(item)
        lines += [f"- {first}", *(f"  {line}" for line in rest)]
    return lines


def _short(value: Any) -> bool:
    """Tell whether a mapping or list is written in one line: it has no names that should stand out."""
    return _depth(value) <= 3 and not _stands_out(value)


def _stands_out(value: Any) -> bool:
    if isinstance(value, list):
        return any(map(_stands_out, value))
    return isinstance(value, dict) and not {"name", "norm", "schema"}.isdisjoint(value)


def _depth(value: Any) -> int:
    if isinstance(value, dict):
        return 1 + max(map(_depth, value.values()), default=0)
    return 1 + max(map(_depth, value), default=0) if isinstance(value, list) else 0


def _flow(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_text(str(key))}: {_flow(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_flow, value)) + "]"
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    if isinstance(value, float) and not math.isfinite(value):
        return ".nan" if math.isnan(value) else ".inf" if value > 0 else "-.inf"
    return repr(value)


def _text(text: str) -> str:
    plain = _PLAIN.fullmatch(text) and text.lower() not in _WORDS
    return text if plain or _FRACTION.fullmatch(text) else json.dumps(text, ensure_ascii=False)
