"""The navigation of the site is the index page itself: its headings, and the pages linked to below them."""

from __future__ import annotations

import re
from collections.abc import Sequence

HEADING = re.compile(r"^## (.+)$")
PAGE = re.compile(r"\]\(([^)#:]+)\.(?:md|ipynb)\)")


def sections(index: str) -> dict[str, list[str]]:
    """Return the pages that each section of the index page links to, in order, without suffix.

    Args:
        index: the Markdown text of the page.
    """
    pages: dict[str, list[str]] = {}
    heading = ""
    for line in index.splitlines():
        if title := HEADING.match(line):
            heading = title[1]
        elif heading:
            pages.setdefault(heading, []).extend(PAGE.findall(line))
    return {title: list(dict.fromkeys(names)) for title, names in pages.items()}


def with_navigation(index: str, api: Sequence[str]) -> str:
    """Return the index page followed by a table of contents for Sphinx, which readers see at the side.

    Args:
        index: the Markdown text of the page.
        api: names of the pages made from docstrings, relative to the index page.
    """
    tables = [_table(title, names) for title, names in sections(index).items() if names]
    return "\n".join([index, *tables, _table("Python API", api)])


def _table(caption: str, names: Sequence[str]) -> str:
    return "\n".join(["", "```{toctree}", ":hidden:", f":caption: {caption}", "", *names, "```", ""])
