"""What docstrings say of options: those of a recipe, and those of the attacks of a library. No torch here."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator

SECTIONS = ("Attributes", "Args", "Arguments", "Parameters")
"""Titles of the part of a docstring that explains options."""
_TITLE = re.compile(r"^(?:[A-Z][A-Za-z ]*):{1,2}$")
_GOOGLE = re.compile(r"^(\*{0,2}[A-Za-z_]\w*)\s*(?:\([^)]*\))?\s*:(?:\s+|$)(.*)$")
_SPHINX = re.compile(r"^:param\s+(?:[^:]*\s)?(\w+)\s*:\s*(.*)$")
_NUMPY = re.compile(r"^(\w+)\s*:\s*\S.*$")


def explained(recipe: type) -> dict[str, str]:
    """Return what the docstring of a recipe and of the classes beneath it say of its options, by name."""
    texts: dict[str, str] = {}
    for kind in recipe.__mro__:
        if kind is not object and "__doc__" in vars(kind):
            for name, text in options_in(vars(kind)["__doc__"] or "").items():
                texts.setdefault(name, text)
    return texts


def options_in(docstring: str) -> dict[str, str]:
    r"""Return what a docstring says of options, by name, each in one line.

    It reads the three common styles: `name: text` under a title, `:param name: text`, and a title underlined
    with `name : type` and the text in the lines below.

    Example:
        >>> options_in("Attack.\n\nArgs:\n    steps: how many.\n")
        {'steps': 'how many.'}
    """
    lines = inspect.cleandoc(docstring).splitlines()
    texts: dict[str, list[str]] = {}
    for name, line in (*_under_titles(lines), *_sphinx(lines), *_numpy(lines)):
        texts.setdefault(name, []).append(line)
    return {name: " ".join(filter(None, parts)) for name, parts in texts.items()}


def without_options(docstring: str) -> str:
    """Return a docstring without what it says of options and errors."""
    lines = inspect.cleandoc(docstring).splitlines()
    parts = zip(lines, _inside(lines), _inside(lines, ("Raises",)), strict=True)
    rest = [line for line, *inside in parts if not any(inside)]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(rest)).strip()


def _inside(lines: list[str], sections: tuple[str, ...] = SECTIONS) -> Iterator[bool]:
    """Yield of each line whether it belongs to a part under one of these titles, the title included."""
    inside = False
    for line in lines:
        if line and not line[0].isspace():
            inside = line.rstrip(":") in sections and bool(_TITLE.match(line))
        yield inside


def _under_titles(lines: list[str]) -> Iterator[tuple[str, str]]:
    """Yield name and text of the lines under a title such as `Attributes:`."""
    name, indent = "", 0
    for line, inside in zip(lines, _inside(lines), strict=True):
        text = line.strip()
        if not inside or not line[:1].isspace():
            name, indent = "", 0
            continue
        depth = len(line) - len(line.lstrip())
        indent = indent or depth
        if depth == indent:
            entry = _GOOGLE.match(text)
            name, text = (entry[1].lstrip("*"), entry[2]) if entry else ("", "")
        if name:
            yield name, text


def _sphinx(lines: list[str]) -> Iterator[tuple[str, str]]:
    """Yield name and text of the lines of `:param name: text`."""
    name = ""
    for line in lines:
        text = line.strip()
        if entry := _SPHINX.match(text):
            name, text = entry[1], entry[2]
        elif not text or text.startswith(":"):
            name = ""
        if name:
            yield name, text


def _numpy(lines: list[str]) -> Iterator[tuple[str, str]]:
    """Yield name and text of the lines under `Parameters` that is underlined."""
    name, inside = "", False
    for at, line in enumerate(lines):
        below = lines[at + 1].strip() if at + 1 < len(lines) else ""
        if below and set(below) == {"-"}:
            inside, name = line.strip() in SECTIONS, ""
        elif inside and line and not line[0].isspace():
            entry = _NUMPY.match(line)
            name = entry[1] if entry else ""
        elif inside and name and line.strip():
            yield name, line.strip()
