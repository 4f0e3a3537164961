"""The terminal's view of boards as a text, and back: so that it need not be computed again."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from rich.console import RenderableType
from rich.text import Span, Text

from reports.text.fitting_table import FittingTable


def written(parts: Sequence[RenderableType]) -> str:
    """Return tables and lines as JSON text.

    Raises:
        TypeError: a part is neither a table nor a line.
    """
    return json.dumps([_plain(part) for part in parts])


def read(text: str) -> list[RenderableType]:
    """Return the tables and lines of `written`.

    Raises:
        ValueError, TypeError, KeyError: the text does not have this form.
    """
    return [_part(one) for one in json.loads(text)]


def _plain(part: RenderableType) -> dict[str, Any]:
    if isinstance(part, FittingTable):
        return {
            "title": part.title,
            "header": list(part.header),
            "rows": [list(row) for row in part.rows],
            "left": sorted(part.left),
            "keys": part.keys,
            "first": sorted(part.first),
        }
    if isinstance(part, Text):
        spans = [[span.start, span.end, str(span.style)] for span in part.spans]
        return {"line": part.plain, "style": str(part.style), "spans": spans}
    raise TypeError(f"a table or a line, not {type(part).__name__}")


def _part(plain: dict[str, Any]) -> RenderableType:
    if "line" in plain:
        spans = [Span(start, end, style) for start, end, style in plain["spans"]]
        return Text(plain["line"], style=plain["style"], spans=spans)
    names = {name: frozenset(plain[name]) for name in ("left", "first")}
    return FittingTable(
        title=plain["title"], header=plain["header"], rows=plain["rows"], keys=plain["keys"], **names
    )
