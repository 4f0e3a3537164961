"""BibTeX of the papers that plugins of ours come from, by key, from `papers.bib` beside this file."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

from robench.errors import PluginError, nearest

FILE = Path(__file__).with_name("papers.bib")
_KEY = re.compile(r"@\w+\{([^\s,]+),")


def paper(*keys: str) -> str:
    """Return the entries of papers, each as one line, in the order of their keys.

    Raises:
        PluginError: a key has no entry.

    Example:
        >>> paper("tang2013deep")[:40]
        '@article{tang2013deep, title={Deep learn'
    """
    entries = _entries()
    for key in keys:
        if key not in entries:
            do = nearest(key, entries)
            raise PluginError(where=str(FILE), expected="the key of a paper", got=repr(key), do=do)
    return "\n".join(entries[key] for key in keys)


@cache
def _entries() -> dict[str, str]:
    """Return the entries by key; a blank line ends one, and what begins with no key is a comment."""
    blocks = (" ".join(block.split()) for block in FILE.read_text("utf-8").split("\n\n"))
    return {match[1]: block for block in blocks if (match := _KEY.match(block))}
