"""A page for each face of robench, with every public name: what its docstring says, in reStructuredText."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from docs_site.staging import ROOT

CALLABLE_ROOMS = {"robench.attack": "robench.api.attack"}
"""Names that are a room and a function; where the function is documented."""


def faces() -> list[str]:
    """Return `robench` and every room that has public names of its own, the way into the program left out."""
    rooms = sorted(path.parent.name for path in (ROOT / "robench").glob("*/__init__.py"))
    return ["robench", *(f"robench.{room}" for room in rooms if room != "cli")]


def directive(face: str, name: str) -> str:
    """Return the directive that makes Sphinx document one public name."""
    target = f"{face}.{name}"
    value = getattr(import_module(face), name)
    if target in CALLABLE_ROOMS:
        return f".. autofunction:: {CALLABLE_ROOMS[target]}\n"
    if isinstance(value, type):
        members = "   :members:\n   :undoc-members:\n" if issubclass(value, Exception) else "   :members:\n"
        return f".. autoclass:: {target}\n{members}"
    if inspect.isroutine(value):
        return f".. autofunction:: {target}\n"
    return _constant(target, value)


def _constant(target: str, value: Any) -> str:
    text = repr(value)
    lines = [f".. py:data:: {target}"]
    if len(text) <= 100 and " at 0x" not in text:
        lines.append(f"   :value: {text}")
    return "\n".join([*lines, "", f"   A constant, of type ``{type(value).__name__}``.", ""])


def page(face: str, elsewhere: Mapping[int, str]) -> str:
    """Return the page of a face: its sentence, and every public name.

    Args:
        face: its name.
        elsewhere: the full names of what earlier pages describe, by `id`; this page links to them.
    """
    module = import_module(face)
    text = inspect.getdoc(module) or ""
    names = sorted(module.__all__, key=str.lower)
    full_names = {name: elsewhere[key] for name in names if (key := id(getattr(module, name))) in elsewhere}
    lines = [face, "=" * len(face), "", text, "", f".. currentmodule:: {face}", ""]
    if full_names:
        links = ", ".join(f":py:obj:`{name} <{target}>`" for name, target in full_names.items())
        lines += [f"Described on another page: {links}.", ""]
    return "\n".join([*lines, *(directive(face, name) for name in names if name not in full_names)])


def write_pages(folder: Path) -> list[str]:
    """Write all pages into a folder, and return their names without suffix, in order."""
    folder.mkdir(parents=True, exist_ok=True)
    full_names: dict[int, str] = {}
    for face in faces():
        (folder / f"{face}.rst").write_text(page(face, full_names), "utf-8")
        module = import_module(face)
        for name in module.__all__:
            target = CALLABLE_ROOMS.get(f"{face}.{name}", f"{face}.{name}")
            package, _, last = target.rpartition(".")
            if callable(value := getattr(import_module(package), last)):  # equal constants may be one object
                full_names.setdefault(id(value), target)
    return faces()
