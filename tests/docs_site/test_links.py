"""A link that leads nowhere, and anything loaded from another host, is a fault of the built site."""

import pytest

from docs_site.links import faults

HEAD = '<html><head><link rel="stylesheet" href="a.css"></head><body>'


@pytest.fixture
def site(tmp_path):
    (tmp_path / "a.css").write_text("p { background: url(data:image/png;base64,AA) }")
    (tmp_path / "other.html").write_text('<h1 id="there">x</h1><a name="old"></a>')
    (tmp_path / "page.html").write_text(HEAD + '<a href="other.html#there">x</a> <a href="#">top</a>')
    return tmp_path


def test_a_whole_site_has_no_faults(site):
    assert list(faults(site)) == []


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        ('<a href="gone.html">x</a>', "links to gone.html: no such file"),
        ('<a href="other.html#gone">x</a>', "links to other.html#gone: no place of that name in other.html"),
        ('<a href="#gone">x</a>', "links to #gone: no place of that name in more.html"),
        ('<img src="gone.png">', "loads gone.png: no such file"),
        (
            '<script src="https://cdn.example/a.js"></script>',
            "loads https://cdn.example/a.js from another host",
        ),
        ('<link rel="icon" href="//cdn.example/i.svg">', "loads //cdn.example/i.svg from another host"),
        (
            "<style>@import 'https://fonts.example/f.css';</style>",
            "loads https://fonts.example/f.css from another",
        ),
    ],
)
def test_each_fault_is_told(site, body, fault):
    (site / "more.html").write_text(HEAD + body)
    (line,) = faults(site)
    assert line.startswith(f"more.html: {fault}")


@pytest.mark.parametrize("body", ['<a href="https://example.org">x</a>', '<a href="other.html#old">x</a>'])
def test_what_a_reader_may_follow_is_no_fault(site, body):
    (site / "more.html").write_text(HEAD + body)
    assert list(faults(site)) == []


def test_style_sheets_are_read_too(site):
    (site / "b.css").write_text("@font-face { src: url('https://fonts.example/f.woff2') }")
    assert list(faults(site)) == ["b.css: loads https://fonts.example/f.woff2 from another host"]
