"""What a run used, from its records, as BibTeX."""

import dataclasses
import json
from pathlib import Path

import pytest

from reports.board.named_plugins import named_plugins
from reports.text.bibtex import SOFTWARE, BibTeX
from robench.errors import ConfigError
from robench.recipe import Info
from robench.record.store import Store
from tests.records import changed
from tests.reports.bibtex_parser import parse
from tests.reports.paper.made import R, details, record
from tests.reports.text.test_renderers import HOSTILE
from tests.reports.text.test_renderers import records as hostile_records

ROOT = Path(__file__).parents[3]


def keys(text):
    return set(parse(text))


def other(original, *, attack=None, versions=None, **details):
    return changed(
        original,
        target={"details": {**original.target.details, **details}},
        attack={"name": attack or original.attack.name},
        provenance={"versions": versions or {}},
    )


def test_everything_a_record_names_is_cited_once():
    of = details("wnll", "resnet20", "trades", inference=[{"defense": "JPEG", "quality": 75}])
    records = [record("net", name, [R], of=of) for name in ("clean", "fgsm", "fgsm", "cw")]
    text = BibTeX().render(records)
    assert keys(text) == {
        "robench", "goodfellow2015explaining", "carlini2017towards", "zhang2019theoretically",
        "guo2018countering", "dziugaite2016study", "wang2019graph", "shi2017weighted", "he2016deep",
        "lecun1998gradient",
    }  # fmt: skip
    assert "% defense jpeg: guo2018countering, dziugaite2016study" in text
    assert "% dataset mnist: lecun1998gradient" in text


def test_untrained_networks_and_linear_heads_have_nothing_to_cite():
    text = BibTeX().render([record("net", "clean", [R], of=details(training="none"))])
    assert keys(text) == {"robench", "zhang2019theoretically", "lecun1998gradient"}
    assert "defense" not in text
    assert "% head linear: no entry, none" in text


def test_what_is_not_installed_is_named():
    example = other(
        record("net", "fgsm", [R]), attack="gone.attack:Gone", architecture="/home/me/nets.py:make"
    )
    text = BibTeX().render([example])
    assert "% attack gone.attack:Gone: not found, no such plugin is installed here" in text
    assert "% model nets.py:make: no entry, code of a file" in text
    assert "goodfellow2015explaining" not in keys(text)


def test_a_library_attack_cites_its_library_too():
    example = other(record("net", "fgsm", [R]), attack="attacks.libraries.art:ArtPGD")
    assert {"madry2018towards", "nicolae2018adversarial"} <= keys(BibTeX().render([example]))


def test_the_cascade_cites_its_parts():
    example = other(record("net", "fgsm", [R]), attack="attacks.ensemble.autoattack:AutoAttack")
    citations = keys(BibTeX().render([example]))
    assert {"croce2020reliable", "croce2020minimally", "andriushchenko2020square"} <= citations


def test_the_plan_adds_the_data_sets_of_trainings(tmp_path):
    store = Store(tmp_path)
    store.prepare()
    store.write(record("net", "clean", [R]))
    data = {"dataset": {"name": "svhn", "options": {}}}
    store.write_json(
        "plan.json", {"data": {"dataset": {"name": "mnist"}}, "models": [{"train": {"data": data}}]}
    )
    assert {"netzer2011reading", "lecun1998gradient"} <= keys(BibTeX().render_runs([tmp_path]))
    for content in ("", "[1]", '{"models": 3, "data": []}', '{"models": [null, {"train": 1}]}'):
        (tmp_path / "plan.json").write_text(content)
        assert "lecun1998gradient" in keys(BibTeX().render_runs([tmp_path]))
        assert "netzer2011reading" not in keys(BibTeX().render_runs([tmp_path]))


def test_images_of_a_user_are_what_read_them_and_nothing_that_is_missing(tmp_path):
    store = Store(tmp_path)
    store.prepare()
    store.write(changed(record("net", "clean", [R]), dataset={"name": "my digits"}))
    data = {"dataset": {"name": "npz", "options": {"path": "/x/my digits.npz"}}, "split": "test"}
    store.write_json("plan.json", {"data": data, "models": []})
    text = BibTeX().render_runs([tmp_path])
    assert "% dataset npz: no entry, the user's own data" in text
    assert "my digits" not in text
    assert "not found" not in text


def test_no_record_is_refused(tmp_path):
    Store(tmp_path).prepare()
    with pytest.raises(ConfigError, match="at least one finished unit"):
        BibTeX().render_runs([tmp_path])


def test_third_party_entries(monkeypatch):
    """A broken entry is named, and one under a key that is taken gets a number."""
    import attacks.gradient.fgsm
    import attacks.gradient.ifgsm

    info = attacks.gradient.fgsm.FGSM.info
    records = [record("net", "fgsm", [R]), record("net", "ifgsm", [R])]
    monkeypatch.setattr(attacks.gradient.fgsm.FGSM, "info", dataclasses.replace(info, bibtex="@misc{broken"))
    text = BibTeX().render(records)
    assert "% broken BibTeX of attack fgsm" in text
    assert "kurakin2017physical" in keys(text)
    other = "@misc{kurakin2017physical, title={Another}, author={A, B}, year={2000}}"
    monkeypatch.setattr(attacks.gradient.fgsm.FGSM, "info", dataclasses.replace(info, bibtex=other))
    entries = parse(BibTeX().render(records))
    assert entries["kurakin2017physical"][1]["title"] == "Another"
    assert entries["kurakin2017physical-2"][1]["title"] == "Adversarial examples in the physical world"
    rival = "@misc{robench, title={Another}, author={A, B}, year={2000}}"
    monkeypatch.setattr(attacks.gradient.fgsm.FGSM, "info", dataclasses.replace(info, bibtex=rival))
    assert {"robench", "robench-2"} <= keys(BibTeX().render(records))


def test_a_class_behind_another_module_is_found(monkeypatch):
    from robench import plugins

    assert plugins.called("datasets", "model_zoo.datasets.mnist:MNIST") == "mnist"
    assert plugins.called("attacks", "attacks.gradient.pgd:PGD") == "pgd"
    assert plugins.called("attacks", "attacks.gradient.pgd:Nothing") is None
    assert plugins.called("attacks", "nowhere:PGD") is None


def test_the_software_is_cited_in_the_version_that_measured():
    example = other(record("net", "clean", [R]), versions={"robench": "0.7.1}\\input{x"})
    fields = parse(BibTeX().render([example]))["robench"][1]
    assert fields["note"] == "version 0.7.1inputx"
    assert "note" not in parse(BibTeX().render([record("net", "clean", [R])]))["robench"][1]


def test_the_citation_file_says_the_same():
    from ruamel.yaml import YAML

    from robench import __version__

    cff = YAML(typ="safe").load((ROOT / "CITATION.cff").read_text("utf-8"))
    assert cff["title"] == SOFTWARE.fields["title"]
    assert [author["name"] for author in cff["authors"]] == [SOFTWARE.fields["author"].strip("{}")]
    assert cff["version"] == __version__
    assert SOFTWARE.fields["year"] in (ROOT / "LICENSE").read_text("utf-8")


@pytest.mark.parametrize("name", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_names_stay_in_their_comment(name):
    examples = [
        other(r, architecture=name, head=name, training=name, inference=[{"defense": name}, name, None])
        for r in hostile_records(name)
    ]
    text = BibTeX().render(examples)
    assert keys(text) == {"robench"}
    assert all(sign == "\n" or sign.isprintable() for sign in text)


def test_written_file(tmp_path):
    (path,) = BibTeX()([record("net", "clean", [R])], tmp_path)
    assert path.name == "references.bib"
    assert "lecun1998gradient" in path.read_text("utf-8")


def test_kinds_come_in_a_fixed_order():
    uses = named_plugins([record("net", "fgsm", [R], of=details("wnll"))])
    assert [use.kind for use in uses] == ["attacks", "defenses", "heads", "models", "datasets"]
    assert all(isinstance(use.info, Info) for use in uses)


def test_records_of_json_round_trip_alone_are_enough():
    example = record("net", "fgsm", [R])
    again = type(example).from_json(json.dumps(json.loads(example.to_json())))
    assert BibTeX().render([again]) == BibTeX().render([example])
