"""The notebooks run from beginning to end, and show what came out."""

import nbformat
import pytest

from docs_site.notebooks import FOLDER, executed, names

MOST = 400_000
"""Bytes of a notebook with its outputs."""


def outputs(notebook):
    return [output for cell in notebook.cells for output in cell.get("outputs", ())]


@pytest.mark.parametrize("name", names())
def test_it_is_kept_with_its_outputs_small_and_whole(name):
    path = FOLDER / f"{name}.ipynb"
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in cells] == [*range(1, len(cells) + 1)]
    assert outputs(notebook)
    assert not [output for output in outputs(notebook) if output.output_type == "error"]
    text = path.read_text("utf-8")
    assert len(text) < MOST
    assert "/tmp/" not in text


def test_the_subjects_are_there():
    assert names() == ["board-of-many-runs", "my-model", "plugin", "wnll-head"]


@pytest.mark.thorough
@pytest.mark.filterwarnings("ignore")  # of the packages that run notebooks
@pytest.mark.parametrize("name", names())
def test_it_runs_as_it_stands(name, tmp_path):
    original = nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)
    fresh = executed(name, tmp_path)  # an error in a cell is an error here
    kinds = [  # of each cell; a stream may come in several pieces
        [{tuple(sorted(output.get("data", ()))) for output in cell.get("outputs", ())} for cell in book.cells]
        for book in (original, fresh)
    ]
    assert kinds[0] == kinds[1]
