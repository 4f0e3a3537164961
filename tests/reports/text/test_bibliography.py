"""The strict reader of BibTeX, and every entry that our plugins give."""

import re
import unicodedata

import pytest

from reports.text.bibliography import Entry, read_entries
from robench import plugins
from robench.errors import ConfigError
from tests.reports.bibtex_parser import parse

KINDS = ("attacks", "defenses", "models", "heads", "datasets")
OURS = [(kind, name) for kind in KINDS for name in plugins.names(kind)
        if plugins.distribution(kind, name) == "robench"]  # fmt: skip
NONE_OF_ITS_OWN = ("none", "the user's own data")


def test_fields_in_braces_quotes_and_bare():
    text = 'x @Article{key:1, Title = {A {B}, c}, author="Q, {R "S"} and T", year=2019} y'
    (entry,) = read_entries(text)
    assert (entry.kind, entry.key) == ("article", "key:1")
    assert entry.fields == {"title": "A {B}, c", "author": 'Q, {R "S"} and T', "year": "2019"}


def test_accents_and_line_breaks():
    (entry,) = read_entries("@misc{k, author={Tram{\\`e}r,\n   F. and L\\'eon \\{x}}")
    assert entry.fields["author"] == "Tram{\\`e}r, F. and L\\'eon \\{x"


def test_round_trip():
    entry = Entry(kind="misc", key="k", fields={"title": "A {B}", "year": "2019"})
    assert read_entries(f"{entry}\n{entry}") == [entry, entry]
    assert parse(str(entry)) == {"k": ("misc", {"title": "A {B}", "year": "2019"})}


@pytest.mark.parametrize(
    "text",
    ["@misc{", "@misc{k", "@misc{k, title}", "@misc{k, title={a}", "@misc{k, title={a} year=1}",
     "@{k, a={b}}", "@misc{a b, title={c}}", '@misc{k, title="a}', "@misc{k, title=}",
     "@misc{k\\input, a={b}}"],
)  # fmt: skip
def test_broken_text_is_refused(text):
    with pytest.raises(ConfigError, match="BibTeX"):
        read_entries(text)


def test_text_without_entries():
    assert read_entries("") == read_entries("none; see the manual") == []


@pytest.mark.parametrize(("kind", "name"), OURS)
def test_every_plugin_with_a_paper_has_valid_bibtex(kind, name):
    info = plugins.find(kind, name).info
    entries = read_entries(info.bibtex)
    if info.paper.startswith(NONE_OF_ITS_OWN):
        assert not entries
        return
    assert entries, f"{kind} {name}: {info.paper}"
    assert {entry.key: (entry.kind, entry.fields) for entry in entries} == parse(info.bibtex)
    venue = {"article": "journal", "inproceedings": "booktitle", "techreport": "institution",
             "misc": "howpublished"}  # fmt: skip
    for entry in entries:
        assert re.fullmatch(r"(19|20)\d\d", entry.fields["year"])
        for author in entry.fields["author"].split(" and "):  # the rest of a long list, or a group in braces
            assert ", " in author or author == "others" or author[0] + author[-1] == "{}"
        assert entry.fields["title"]
        assert entry.fields[venue[entry.kind]]
    first_author = _without_accents(re.match(r"[A-Z]\w+", info.paper)[0])
    assert any(first_author.lower() in _plain(entry.fields["author"]) for entry in entries)


def _without_accents(name):
    return "".join(
        letter for letter in unicodedata.normalize("NFD", name) if not unicodedata.combining(letter)
    )


def _plain(author):
    return re.sub(r"\\.|[{}]", "", author).lower()


def test_equal_keys_mean_equal_entries_in_every_package():
    entries = {}
    for kind, name in OURS:
        for entry in read_entries(plugins.find(kind, name).info.bibtex):
            assert entries.setdefault(entry.key, entry) == entry
    titles = [entry.fields["title"].lower() for entry in entries.values()]
    assert len(titles) == len(set(titles)), "one paper under two keys"
    assert len(entries) > 40
