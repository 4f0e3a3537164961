"""The sources of the site in a folder of their own, at the paths they have in the repository.

So a link from one page to another is the same in the repository, on a forge and on the site.
"""

from __future__ import annotations

import shutil
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGES = ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "CODE_OF_CONDUCT.md")
"""Pages outside `docs/` that the site has too."""


def stage(sources: Path) -> None:
    """Copy every page, notebook, picture and file beside them into a new folder.

    Args:
        sources: the folder; what was in it is removed.
    """
    shutil.rmtree(sources, ignore_errors=True)
    rule = shutil.ignore_patterns(".*", "__pycache__")
    shutil.copytree(ROOT / "docs", sources / "docs", ignore=rule)
    for name in PAGES:
        shutil.copy2(ROOT / name, sources / name)
