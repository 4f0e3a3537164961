"""Formats of text under every name that people know them by: `latex` is `tex`, `markdown` is `md`."""

from __future__ import annotations

from typing import Literal

from robench.errors import ConfigError, nearest

Format = Literal["text", "md", "csv", "json", "tex"]
FORMATS: tuple[Format, ...] = ("text", "md", "csv", "json", "tex")
ALSO: dict[str, Format] = {"latex": "tex", "markdown": "md"}
"""What a format is called elsewhere; help and messages name the canonical one."""
PLUGINS = {"md": "markdown", "csv": "csv", "json": "json", "tex": "latex"}
"""The report plugin that writes each format."""


def format_of(text: str) -> Format:
    """Return the canonical name of a format.

    Raises:
        ConfigError: there is no such format.

    Example:
        >>> format_of("latex")
        'tex'
    """
    name = ALSO.get(text.lower(), text.lower())
    for one in FORMATS:
        if one == name:
            return one
    expected = f"one of {', '.join(FORMATS)}"
    raise ConfigError(where="--format", expected=expected, got=repr(text), do=nearest(text, FORMATS))


def plugin_of(text: str) -> str:
    """Return the name of the report plugin that a format means: `tex` and `LaTeX` are `latex`.

    Example:
        >>> plugin_of("model-index")
        'model_index'
    """
    name = plain_name(text)
    return PLUGINS.get(name, name)


def plain_name(text: str) -> str:
    """Return the name of a report as plugins have it: in small letters, with underscores."""
    return text.replace("-", "_").lower()
