"""Make the pages and tables anew that come from the source: `python -m docs_site.tables`."""

from __future__ import annotations

from collections.abc import Callable

from docs_site import attack_page, key_tables, options_page
from docs_site.staging import ROOT

MAKERS: dict[str, Callable[[str], str]] = {
    "configuration.md": key_tables.with_tables,
    "attack-list.md": lambda _: attack_page.page(),
    "options.md": lambda _: options_page.page(),
}
"""Pages in `docs/`, each with what makes its text from the text that is there; empty for none yet."""


def main() -> None:
    """Write every page."""
    for name, make in MAKERS.items():
        path = ROOT / "docs" / name
        path.write_text(make(path.read_text("utf-8") if path.exists() else ""), "utf-8")


if __name__ == "__main__":
    main()
