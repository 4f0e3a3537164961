"""The index page leads to every page, and the table of contents is made of it."""

from pathlib import Path

from docs_site.navigation import sections, with_navigation
from docs_site.staging import PAGES, ROOT

INDEX = (ROOT / "docs" / "index.md").read_text("utf-8")


def linked():
    folder = ROOT / "docs"
    return [(folder / name).resolve() for names in sections(INDEX).values() for name in names]


def test_every_page_is_linked_once():
    pages = [path for ending in ("md", "ipynb") for path in (ROOT / "docs").rglob(f"*.{ending}")]
    pages = [path for path in pages if ".ipynb_checkpoints" not in path.parts]
    expected = {path.with_suffix("") for path in (*pages, *(ROOT / name for name in PAGES))}
    assert sorted(linked()) == sorted(expected - {ROOT / "docs" / "index"})


def test_the_readme_leads_to_the_index():
    assert "](docs/index.md)" in (ROOT / "README.md").read_text("utf-8")


def test_sections_become_tables_of_contents():
    text = (
        "# T\n\n[no](no.md)\n\n## A\n\n- [x](x.md), [again](x.md#part)\n- [y](../Y.md)\n\n## B\n\nnothing\n"
    )
    assert sections(text) == {"A": ["x", "../Y"], "B": []}
    page = with_navigation(text, ["api/z"])
    assert page.startswith(text)
    assert "```{toctree}\n:hidden:\n:caption: A\n\nx\n../Y\n```" in page
    assert ":caption: Python API\n\napi/z\n" in page
    assert ":caption: B" not in page


def test_staged_pages_lie_where_they_are_in_the_repository(tmp_path):
    from docs_site.staging import stage

    (tmp_path / "sources" / "old.md").parent.mkdir()
    (tmp_path / "sources" / "old.md").write_text("x")
    stage(tmp_path / "sources")
    assert not (tmp_path / "sources" / "old.md").exists()
    for name in ("README.md", "docs/index.md", "docs/images/report.png", "docs/results/mnist-small.md"):
        assert (tmp_path / "sources" / name).read_bytes() == Path(ROOT, name).read_bytes()
