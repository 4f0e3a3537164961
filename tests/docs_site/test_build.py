"""Building the site says what is missing, and fails where a page is wrong."""

from shutil import copytree

import pytest

from docs_site import __main__ as site


def test_a_missing_generator_is_told_with_the_command_that_installs_it(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(site, "find_spec", lambda name: None if name == "furo" else object())
    monkeypatch.setattr("sys.argv", ["docs_site", "--out", str(tmp_path / "site")])
    assert site.main() == 2
    message = capsys.readouterr().err
    assert "missing furo" in message
    assert 'pip install -e ".[docs]"' in message
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def small_site(monkeypatch, tmp_path):
    """Build a site of two pages, of which one holds this text, and return the exit code."""

    def one_page(folder):
        folder.mkdir()
        (folder / "a.rst").write_text("a\n=\n")
        return ["a"]

    def build(text):
        def stage(sources):
            (sources / "docs").mkdir(parents=True)
            (sources / "docs" / "index.md").write_text(
                f"# Title\n\n{text}\n\n## All\n\n- [Read](../README.md)\n"
            )
            (sources / "README.md").write_text("# Readme\n")
            copytree(site.ROOT / "docs" / "board", sources / "docs" / "board")

        monkeypatch.setattr(site, "stage", stage)
        return site.build(tmp_path / "site")

    monkeypatch.setattr(site, "write_pages", one_page)
    return build


@pytest.mark.thorough
@pytest.mark.filterwarnings("ignore")  # of Sphinx about its extensions
@pytest.mark.parametrize("text", ["[x](gone.md)", "[x](#gone)", "[x](../README.md#gone)"])
def test_a_broken_link_or_anchor_fails_the_build(text, small_site, capfd):
    assert small_site(text) == 1
    assert "gone" in capfd.readouterr().err


@pytest.mark.thorough
@pytest.mark.filterwarnings("ignore")  # of Sphinx about its extensions
def test_a_link_to_a_file_leads_to_it_where_it_lies(small_site, tmp_path):
    assert small_site("[the board](board/index.html)") == 0
    assert 'href="board/index.html"' in (tmp_path / "site" / "docs" / "index.html").read_text("utf-8")
    assert (tmp_path / "site" / "docs" / "board" / "index.html").exists()
    assert not (tmp_path / "site" / "_downloads").exists()
