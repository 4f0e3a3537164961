"""`python -m docs_site [--out DIR]`: build the site, warnings being errors, and check every link of it."""

from __future__ import annotations

import argparse
import shutil
import sys
from importlib.util import find_spec
from pathlib import Path

from docs_site.api_pages import write_pages
from docs_site.links import faults
from docs_site.navigation import with_navigation
from docs_site.staging import ROOT, stage
from robench.errors import PluginError, RobenchError

REDIRECT = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>robench</title>
<meta http-equiv="refresh" content="0; url=docs/index.html"></head>
<body><a href="docs/index.html">robench</a></body></html>
"""
"""The first page of the site, for those who open the folder: pages lie at their paths in the repository."""


def check_packages() -> None:
    """Refuse to start without the generator.

    Raises:
        PluginError: names what is missing and the command that installs it.
    """
    missing = [name for name in ("sphinx", "furo", "myst_nb", "sphinx_copybutton") if find_spec(name) is None]
    if missing:
        expected, got = "the packages that build the site", f"missing {', '.join(missing)}"
        raise PluginError(expected=expected, got=got, do='Run pip install -e ".[docs]"')


def build(out: Path) -> int:
    """Build the site into a folder, and return 0, or 1 where a warning or a broken link was met.

    Args:
        out: the folder; what was in it is removed.
    """
    check_packages()
    from sphinx.cmd.build import build_main

    sources = out.parent / f"{out.name}-sources"
    stage(sources)
    index = sources / "docs" / "index.md"
    api = write_pages(sources / "docs" / "api")
    text = with_navigation(index.read_text("utf-8"), [f"api/{name}" for name in api])
    index.write_text(text, "utf-8")
    shutil.rmtree(out, ignore_errors=True)
    options = ["-b", "html", "-E", "-W", "--keep-going", "-q", "-c", str(ROOT / "docs_site")]
    if build_main([*options, "-d", f"{out}-trees", str(sources), str(out)]):
        return 1
    for name in ("board", "submissions"):
        shutil.copytree(ROOT / "docs" / name, out / "docs" / name)
    (out / "index.html").write_text(REDIRECT, "utf-8")
    complaints = list(faults(out))
    for line in complaints:
        print(line, file=sys.stderr)
    return 1 if complaints else 0


def main() -> int:
    """Build as the command line says; return 0, 1 for faults, or 2 where a package is missing."""
    parser = argparse.ArgumentParser(prog="python -m docs_site", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("build/site"), help="folder (default build/site)")
    out = parser.parse_args().out.resolve()
    try:
        code = build(out)
    except RobenchError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    if code == 0:
        print(f"The site is in {out}: open index.html there.")
    return code


if __name__ == "__main__":
    sys.exit(main())
