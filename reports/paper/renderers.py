"""The paper's tables as Markdown, LaTeX, CSV, JSON and for the terminal."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any

from rich.console import RenderableType
from rich.padding import Padding
from rich.text import Text

from reports.paper.layout import PaperTable
from reports.paper.long_format import COLUMNS, long_rows
from reports.paper.table_text import DAGGER, TableText, table_text
from reports.text import latex, markdown, screen
from reports.text.csv import csv_text
from reports.text.escape import visible


def as_markdown(tables: Sequence[PaperTable], remarks: Sequence[str]) -> str:
    """Return one section per table; `remarks` end the page."""
    parts = []
    for text in map(table_text, tables):
        parts += [f"## {markdown.escape(text.title)}\n", markdown.table(text.header, text.rows)]
        parts += [f"- {markdown.escape(line)}" for line in (*text.reading, *_remarks(text))]
        parts += [""]
    return "\n".join([*parts, *(f"{markdown.escape(remark)}\n" for remark in remarks)])


def as_latex(tables: Sequence[PaperTable], remarks: Sequence[str]) -> str:
    """Return one booktabs table per table, its notes below it; `remarks` end it as comments."""
    head = "% Needs \\usepackage{booktabs} and a T1 font encoding. Made by robench.\n"
    parts = [head, *(_latex(table_text(table)) for table in tables)]
    return "\n".join([*parts, *(f"% {visible(remark)}" for remark in remarks)]).rstrip("\n") + "\n"


def as_csv(tables: Sequence[PaperTable]) -> str:
    """Return one line per cell and model; the columns are `long.COLUMNS`."""
    return csv_text(COLUMNS, [[row[name] for name in COLUMNS] for row in long_rows(tables)])


def as_json(tables: Sequence[PaperTable], remarks: Sequence[str]) -> str:
    """Return the lines of `as_csv` as objects, and the remarks; an infinite radius is the text `inf`."""
    rows = [{name: _finite(value) for name, value in row.items()} for row in long_rows(tables)]
    return (
        json.dumps({"schema": 1, "cells": rows, "remarks": list(remarks)}, indent=1, allow_nan=False) + "\n"
    )


def as_renderables(tables: Sequence[PaperTable], remarks: Sequence[str]) -> list[RenderableType]:
    """Return the text for a terminal."""
    renderables: list[RenderableType] = []
    for text in map(table_text, tables):
        renderables += [screen.table(text.title, text.header, text.rows)]
        renderables += [_indented(line) for line in (*text.reading, *_remarks(text))]
        renderables += [Text("")]
    return [*renderables, *(Text(visible(remark)) for remark in remarks)]


def _remarks(text: TableText) -> list[str]:
    remarks = [f"[{mark}] {model}: {'; '.join(notes)}" for mark, model, notes in text.notes]
    remarks += [f"{DAGGER} {model}: {', '.join(codes)}" for model, codes in text.doubts]
    return [*remarks, *(f"without a row: {line}" for line in text.unplaced)]


def _indented(line: str) -> RenderableType:
    return Padding(Text(visible(line)), (0, 0, 0, 1))


def _latex(text: TableText) -> str:
    notes = " ".join(f"{_tex(line)}." for line in (*text.reading, *_remarks(text)))
    rows = []
    for at, row in enumerate(text.rows):
        rows += [r"\midrule"] if at in text.starts else []
        # `_tex` puts a cell that begins with a bracket in braces, or LaTeX takes it for an option of `\\`.
        rows += [" & ".join(_tex(cell) for cell in row) + r" \\"]
    lines = [
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{_tex(text.title)}.}}",
        rf"\begin{{tabular}}{{ll{'r' * (len(text.header) - 2)}}}",
        r"\toprule",
        " & ".join(map(_tex, text.header)) + r" \\",
        *rows,
        r"\bottomrule",
        r"\end{tabular}",
        rf"\par\smallskip\parbox{{\linewidth}}{{\footnotesize {notes}}}",
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def _tex(text: str) -> str:
    code = latex.escape(text).replace(DAGGER, r"$^\dagger$")
    return f"{{{code}}}" if code.startswith("[") else code


def _finite(value: Any) -> Any:
    return "inf" if isinstance(value, float) and math.isinf(value) else value
