"""The one file of BibTeX: every paper once, in order, cited by a plugin; an unknown key is told."""

import re

import pytest

from attacks.libraries import adv_lib, art, foolbox, torchattack, torchattacks
from robench import plugins
from robench.errors import PluginError
from robench.papers import FILE, paper
from tests.reports.bibtex_parser import parse

KINDS = ("attacks", "defenses", "models", "heads", "datasets")


def keys():
    return re.findall(r"^@\w+\{([^,]+),$", FILE.read_text("utf-8"), re.MULTILINE)


def test_every_paper_stands_there_once_and_in_order():
    assert keys() == sorted(set(keys()))
    assert set(parse(FILE.read_text("utf-8"))) == set(keys())


def test_every_paper_is_cited_by_a_plugin():
    texts = [plugins.find(kind, name).info.bibtex for kind in KINDS for name in plugins.names(kind)]
    texts += [one.CATALOGUE.library.bibtex for one in (adv_lib, art, foolbox, torchattack, torchattacks)]
    assert set(re.findall(r"^@\w+\{([^,]+),", "\n".join(texts), re.MULTILINE)) >= set(keys())


@pytest.mark.parametrize("key", keys())
def test_a_key_gives_its_entry_in_one_line(key):
    text = paper(key)
    assert "\n" not in text
    kind, fields = parse(FILE.read_text("utf-8"))[key]
    assert parse(text) == {key: (kind, {name: " ".join(value.split()) for name, value in fields.items()})}


def test_several_entries_come_in_the_order_of_their_keys():
    assert paper("tang2013deep", "madry2018towards") == paper("tang2013deep") + "\n" + paper(
        "madry2018towards"
    )


def test_an_unknown_key_is_told_with_the_nearest():
    with pytest.raises(
        PluginError, match=r"papers\.bib: expected the key .* Did you mean 'madry2018towards'"
    ):
        paper("madry2018toward")
