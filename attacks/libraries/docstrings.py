"""Descriptions of options from a library's own docstrings, read from its files without an import."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from robench.option_docs import options_in

FOLDERS = {"art": "attacks", "foolbox": "attacks", "adv_lib": "attacks"}
"""Folders of the attacks in libraries; the whole library if it is not listed here."""
_DEPTH = 6
"""Classes that are looked through, one beneath the other."""


def explained(library: str, name: str) -> dict[str, str]:
    """Return the meanings of options, by name, from the docstrings of an attack and its base classes.

    Args:
        library: the package that is imported, such as `art`.
        name: name of the class or function.

    Returns:
        By option the text in one line; empty if the library is not installed or has no text.
    """
    texts: dict[str, str] = {}
    files = [(path, _text(path)) for path in _files(library)]
    names = [name]
    for _ in range(_DEPTH):
        nodes = [node for one in names if (node := _definition(files, one)) is not None]
        names = []
        for node in nodes:
            for docstring in _docstrings(node):
                for option, text in options_in(docstring).items():
                    texts.setdefault(option, text)
            if isinstance(node, ast.ClassDef):
                names += [base.id for base in node.bases if isinstance(base, ast.Name)]
    return texts


def _files(library: str) -> list[Path]:
    spec = find_spec(library)
    places = list(spec.submodule_search_locations or []) if spec else []
    return [
        path for place in places for path in sorted((Path(place) / FOLDERS.get(library, "")).rglob("*.py"))
    ]


def _text(path: Path) -> str:
    return path.read_text("utf-8", errors="replace")


def _definition(files: list[tuple[Path, str]], name: str) -> ast.ClassDef | ast.FunctionDef | None:
    """Return the class or function of a name in the first file that has it."""
    start = re.compile(rf"^(?:class|def) {re.escape(name)}\b", re.MULTILINE)
    for _, text in files:
        if not start.search(text):
            continue
        try:
            tree = ast.parse(text)
        except (SyntaxError, ValueError):
            continue
        for node in tree.body:
            if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name == name:
                return node
    return None


def _docstrings(node: ast.ClassDef | ast.FunctionDef) -> Iterator[str]:
    """Yield the docstrings of a class and its constructor, or of a function."""
    yield ast.get_docstring(node) or ""
    if isinstance(node, ast.ClassDef):
        for part in node.body:
            if isinstance(part, ast.FunctionDef) and part.name == "__init__":
                yield ast.get_docstring(part) or ""
