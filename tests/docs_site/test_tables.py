"""Pages and tables made from the source are what the source says: `make docs-tables` makes them anew."""

import re
import tomllib

import pytest
from pydantic.fields import FieldInfo

from attacks.libraries.table import read_table
from docs_site import attack_page, key_tables, options_page
from docs_site.staging import ROOT
from docs_site.tables import MAKERS
from robench import plugins
from robench.plan.bounds import METHODS
from robench.plan.grammar import Configuration, DataEntry, ModelEntry, TrainingDataEntry
from robench.plan.threat_entry import ThreatEntry
from robench.recipe import describe

DOCS = ROOT / "docs"


@pytest.mark.parametrize("name", MAKERS)
def test_the_page_is_what_the_source_makes(name):
    text = (DOCS / name).read_text("utf-8")
    assert MAKERS[name](text) == text, f"docs/{name}: `make docs-tables` makes it anew"


def rows_of(text, mark):
    table = text.split(f"<!-- keys: {mark} -->")[1].split("<!-- end of keys -->")[0]
    return {match[1]: match[2] for match in re.finditer(r"^\| `(\w+)` \| (.*) \|$", table, re.MULTILINE)}


def test_every_key_of_a_configuration_has_a_row_and_no_other():
    text = (DOCS / "configuration.md").read_text("utf-8")
    for entry in (Configuration, DataEntry, ModelEntry, ThreatEntry):
        assert set(rows_of(text, entry.__name__)) == set(entry.keys())
    assert set(TrainingDataEntry.keys()) == set(DataEntry.keys())


def test_types_and_defaults_come_from_the_source_and_meanings_from_the_page():
    header = "| key | type | default | meaning |\n|---|---|---|---|\n"
    rows = [f"| `{key}` | wrong | wrong | about {key} |" for key in DataEntry.keys()]  # noqa: SIM118
    table = key_tables.table_of(DataEntry, header + "\n".join(rows))
    assert "| `split` | `test`, `train` | `test` | about split |" in table
    assert "| `at_most` | whole number from 1 | wrong | about at_most |" in table  # null needs words


def test_a_new_key_without_a_meaning_or_a_type_is_told():
    with pytest.raises(LookupError, match="`indices` of dataset"):
        key_tables.table_of(DataEntry, "head\n---\n| `name` | a | b | c |\n| `split` | a | b | c |")
    with pytest.raises(LookupError, match=r"DataEntry\.new: add them"):
        key_tables.type_of(DataEntry, "new", FieldInfo(annotation=complex))


def test_words_for_types_are_of_keys_that_exist():
    entries = {entry.__name__: entry for entry in key_tables.TABLES}
    assert all(key in entries[name].keys() for name, key in key_tables.IN_WORDS)  # noqa: SIM118


def test_every_option_of_every_plugin_of_ours_is_on_the_page():
    text = (DOCS / "options.md").read_text("utf-8")
    for kind in ("attacks", "defenses", "heads", "models", "datasets"):
        for name in plugins.names(kind):
            if plugins.distribution(kind, name) != "robench" or (kind == "attacks" and "/" in name):
                continue
            sections = [part for part in text.split("\n### ")[1:] if name in part.splitlines()[0].split(", ")]
            options = describe(plugins.find(kind, name))
            assert any(all(f"| `{option}` |" in part for option in options) for part in sections), name
    assert all(name in text for name in METHODS)


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("int", "whole number"),
        ("float | None", "number or null"),
        ("tuple[float, ...]", "list of numbers"),
        ('Literal["a", "b"]', "`a`, `b`"),
        ("Attack | None", "`Attack \\| None`"),
    ],
)
def test_types_are_told_in_words(kind, words):
    assert options_page.type_in_words(kind, plugins.find("attacks", "pgd")) == words


def test_every_attack_is_listed_once_with_a_use():
    text = (DOCS / "attack-list.md").read_text("utf-8")
    names = re.findall(r"^\| `([^`]+)` \|", text, re.MULTILINE)
    ours = [name for name in plugins.names("attacks") if plugins.distribution("attacks", name) == "robench"]
    assert sorted(names) == sorted(ours)
    assert len(names) > 200


def test_no_sentence_is_about_an_attack_or_a_paper_that_is_not_there():
    uses = tomllib.loads((ROOT / "docs_site" / "attack_uses.toml").read_text("utf-8"))
    entries = {
        f"{library}/{name}": entry
        for library in attack_page.LIBRARIES
        for name, entry in read_table(library).attacks.items()
    }
    assert set(uses["names"]) <= set(plugins.names("attacks"))
    assert set(uses["papers"]) <= {e.paper for name, e in entries.items() if name not in uses["names"]}
    with pytest.raises(LookupError, match="when to use foolbox/Nothing"):
        attack_page.use_of("foolbox/Nothing")


@pytest.mark.thorough
@pytest.mark.parametrize(
    "name", ["fgsm", "pgd", "apgd", "cw", "ddn", "deepfool", "difgsm", "torchattacks/PGD"]
)
def test_passes_are_those_that_are_spent(name):
    from docs_site.measure_passes import passes_of

    figures = tomllib.loads((ROOT / "docs_site" / "attack_passes.toml").read_text("utf-8"))
    assert list(passes_of(name)) == figures[name]


def test_attacks_that_are_left_out_of_the_figures_exist_and_have_none():
    from docs_site.measure_passes import LEFT_OUT

    figures = tomllib.loads((ROOT / "docs_site" / "attack_passes.toml").read_text("utf-8"))
    assert set(LEFT_OUT) <= set(plugins.names("attacks"))
    assert not set(LEFT_OUT) & set(figures)
    assert set(figures) <= set(plugins.names("attacks"))
