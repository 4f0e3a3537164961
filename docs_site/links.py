"""Every link of the built site leads to a page and a place that exist; nothing comes from another host."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

LOADED = {
    ("script", "src"),
    ("img", "src"),
    ("link", "href"),
    ("iframe", "src"),
    ("source", "src"),
    ("video", "src"),
}
"""What a browser loads by itself, other than links that a reader may follow."""

SILENT = {"next", "prev", "canonical", "author", "search", "index", "genindex", "copyright"}
"""Kinds of `<link>` that a browser does not load."""

IN_CSS = re.compile(r"url\(\s*['\"]?([^'\")]+)|@import\s+['\"]([^'\"]+)")


class Page(HTMLParser):
    """What a page loads and links to, and the places in it.

    Attributes:
        places: names that a link may end in after `#`.
        links: addresses that a reader may follow.
        loads: addresses that a browser loads by itself.
    """

    def __init__(self, text: str) -> None:
        super().__init__()
        self.places: set[str] = set()
        self.links: list[str] = []
        self.loads: list[str] = [first or second for first, second in IN_CSS.findall(text)]
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note what an element names, links to or loads."""
        values = {name: value or "" for name, value in attrs}
        self.places |= {values[name] for name in ("id", "name") if name in values}
        kinds = set(values.get("rel", "").split())
        for name in ("href", "src"):
            if name in values and (tag, name) in LOADED and not kinds & SILENT:
                self.loads.append(values[name])
            elif name in values and tag == "a":
                self.links.append(values[name])


@cache
def _read(path: Path) -> Page:
    return Page(path.read_text("utf-8"))


def _elsewhere(address: str) -> bool:
    return address.startswith("//") or bool(urlsplit(address).scheme)


def _broken(page: Path, address: str) -> str:
    """Return why an address inside the site leads nowhere; empty where it does lead somewhere."""
    parts = urlsplit(address)
    target = (page.parent / unquote(parts.path)).resolve() if parts.path else page
    if not target.is_file():
        return "no such file"
    if parts.fragment and target.suffix == ".html" and unquote(parts.fragment) not in _read(target).places:
        return f"no place of that name in {target.name}"
    return ""


def faults(site: Path) -> Iterator[str]:
    """Yield a line for each link that leads nowhere and each thing that would be loaded from another host.

    Args:
        site: the folder of the built site.
    """
    site = site.resolve()
    for page in sorted(site.rglob("*.html")):
        here = page.relative_to(site)
        content = _read(page)
        for address in sorted(set(content.loads)):
            if address.startswith(("data:", "#")):
                continue
            if _elsewhere(address):
                yield f"{here}: loads {address} from another host"
            elif reason := _broken(page, address):
                yield f"{here}: loads {address}: {reason}"
        for address in sorted(set(content.links)):
            if address and not _elsewhere(address) and (reason := _broken(page, address)):
                yield f"{here}: links to {address}: {reason}"
    for sheet in sorted(site.rglob("*.css")):
        for first, second in IN_CSS.findall(sheet.read_text("utf-8")):
            address = first or second
            if not address.startswith(("data:", "#")) and _elsewhere(address):
                yield f"{sheet.relative_to(site)}: loads {address} from another host"
