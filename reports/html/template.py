"""The template with autoescape, and the content-security policy that lets our own script run and no other."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import Any

from markupsafe import Markup

from reports.text.escape import visible


def page(
    template: str = "page.html.jinja",
    *,
    styles: Sequence[str] = ("style.css",),
    scripts: Sequence[str] = ("script.js",),
    **sections: Any,
) -> str:
    """Return the page.

    Args:
        template: its template.
        styles: the files of its style, one after the other.
        scripts: the files of its script, one after the other.
        sections: values for the template; every text is escaped, and its invisible characters made visible.
    """
    style, script = ("".join(map(_source, names)) for names in (styles, scripts))
    # Both hashes cover exactly the text between the tags.
    policy = (
        "default-src 'none'; base-uri 'none'; form-action 'none'; img-src data:; "
        f"script-src '{_hash(script)}'; style-src '{_hash(style)}'"
    )
    text: str = (
        _environment()
        .get_template(template)
        .render(
            policy=policy,
            style=Markup(style),
            script=Markup(script),
            **sections,
        )
    )
    return text


@cache
def _environment() -> Any:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    return Environment(
        loader=PackageLoader("reports.html", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_shown,
    )


def _shown(value: Any) -> Any:
    """Return what the template writes for a value: text without invisible signs, nothing for None."""
    if isinstance(value, str) and not isinstance(value, Markup) and not value.isprintable():
        return visible(value)
    return "" if value is None else value


@cache
def _source(name: str) -> str:
    return (files("reports.html") / "templates" / name).read_text("utf-8")


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode("ascii")
