"""An extension of Sphinx: a link to a file that is no page leads to that file, at its own path."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx


def _lead_to_files(app: Sphinx, document: nodes.document) -> None:
    """Make plain links of what Sphinx would copy into a folder of downloads, away from its neighbours."""
    for node in list(document.findall(addnodes.download_reference)):
        target = str(node["reftarget"])
        page = Path(app.srcdir, app.env.docname)
        if ":" in target or not (page.parent / target).exists():
            continue
        link = nodes.reference("", "", *node.children, refuri=target)
        node.replace_self(link)


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the extension."""
    app.connect("doctree-read", _lead_to_files, priority=100)  # before Sphinx collects what to copy
    return {"parallel_read_safe": True, "parallel_write_safe": True}
