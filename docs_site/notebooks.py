"""Run the notebooks of docs: `python -m docs_site.notebooks [NAME ...]` writes their outputs anew."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient

from docs_site.staging import ROOT

FOLDER = ROOT / "docs" / "notebooks"
SECONDS = 300
"""Most of them for a cell, on a busy machine."""


def names() -> list[str]:
    """Return the names of the notebooks, without suffix."""
    return sorted(path.stem for path in FOLDER.glob("*.ipynb"))


def executed(name: str, folder: Path) -> Any:
    """Return a notebook with the outputs of a fresh run.

    Args:
        name: its name, without suffix.
        folder: where it runs, and may write files.

    Raises:
        CellExecutionError: a cell raised an error.
    """
    notebook = nbformat.reads((FOLDER / f"{name}.ipynb").read_text("utf-8"), as_version=4)
    resources = {"metadata": {"path": str(folder)}}
    # The commands of this installation come first, as in an activated environment.
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    client = NotebookClient(notebook, timeout=SECONDS, kernel_name="python3", resources=resources)
    client.execute(env={**os.environ, "PATH": path})
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)  # times of this machine
    notebook.metadata = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    return notebook


def main(chosen: list[str]) -> None:
    """Run these notebooks, or all, and write them with their outputs."""
    for name in chosen or names():
        with tempfile.TemporaryDirectory() as folder:
            text = nbformat.writes(executed(name, Path(folder)))
            (FOLDER / f"{name}.ipynb").write_text(f"{text}\n", "utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
