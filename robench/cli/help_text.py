"""Docstrings as help texts: each paragraph in one line, which the terminal folds where it ends."""

from __future__ import annotations

import inspect


def paragraphs(docstring: str) -> str:
    r"""Return a docstring with each paragraph in one line.

    Example:
        >>> paragraphs("One sentence.\n\nTwo\nlines.")
        'One sentence.\n\nTwo lines.'
    """
    return "\n\n".join(" ".join(part.split()) for part in inspect.cleandoc(docstring).split("\n\n"))
