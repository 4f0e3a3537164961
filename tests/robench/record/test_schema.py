import json
import math
import re
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from robench.errors import StorageError
from robench.record.certificates import Certificates
from robench.record.schema import Columns, Finding, Record
from robench.record.seal import sealed_text
from tests.records import record_of

numbers = st.floats(allow_nan=False, allow_infinity=False)
texts = st.text(max_size=20)


def record(**changes):
    columns = Columns(
        index=[0], label=[1], clean=[1], adversarial=[2], status=["broken"], linf=[0.1], l2=[0.2],
        forwards=[3.0], backwards=[2.0], first_success=[1],
    )  # fmt: skip
    values = {
        "key": "k", "target": {"name": "a"}, "source": {"name": "a"}, "attack": {"label": "pgd"},
        "threat": {}, "dataset": {"name": "toy", "split": "test"}, "seed": 0, "columns": columns,
        "provenance": {},
    }  # fmt: skip
    return record_of(**{**values, **changes})


@pytest.mark.thorough
@settings(deadline=None)
@given(
    name=texts,
    options=st.dictionaries(texts, st.one_of(numbers, texts, st.integers(), st.none(), st.booleans())),
    size=numbers,
)
def test_json_round_trip_is_exact(name, options, size):
    finding = Finding(code="c", evidence=name, remedy="r")
    before = record(
        target={"name": name}, attack={"label": name, "options": options}, findings=(finding,),
        provenance={"seconds": size},
    )  # fmt: skip
    assert Record.from_json(before.to_json()) == before
    assert Record.from_json(before.to_json()).to_json() == before.to_json()


def test_json_never_holds_nan():
    with pytest.raises(ValueError, match="JSON"):
        record(provenance={"x": math.nan}).to_json()
    with pytest.raises(ValueError, match="JSON"):
        record(columns=replace(record().columns, linf=[math.inf])).to_json()


def test_a_note_changes_its_field_and_no_other():
    before = record()
    after = before.noting(seed=5)
    assert after == replace(before, seed=5)
    assert (before.seed, after.columns is before.columns) == (0, True)


@pytest.mark.parametrize(
    ("schema", "says"), [(99, ", and it says schema 99"), ("x", ", and it says schema 'x'"), (None, "")]
)
def test_a_record_with_a_wrong_checksum_says_of_which_schema_it_is(schema, says):
    original = sealed_text(record().to_json())
    text = re.sub(r'"seed": ?0', '"seed": 1', original)
    if schema is not None:
        text = re.sub(r'"schema": ?\d+', f'"schema": {json.dumps(schema)}', text)
    assert text != original
    with pytest.raises(StorageError) as error:
        Record.from_json(text, where="units/k.json")
    assert error.value.where == "units/k.json"
    assert error.value.got.endswith(says) if says else "schema" not in error.value.got


def test_what_has_a_wrong_checksum_need_not_be_json():
    with pytest.raises(StorageError, match=r"units/k\.json: .* another checksum, or none"):
        Record.from_json("[" + sealed_text(record().to_json()), where="units/k.json")


@pytest.mark.parametrize(
    ("change", "words"),
    [({"bound": []}, "several lengths"), ({"seconds": [0.1, 0.2]}, "several lengths"),
     ({"certified": [2]}, "something else than 0 and 1"),
     ({"certified": [-1]}, "something else than 0 and 1")],
)  # fmt: skip
def test_certificates_that_do_not_fit_together_are_refused(change, words):
    whole = {"certified": [1], "bound": [0.5], "domains": [1], "seconds": [0.1]}
    own = Certificates(**whole)
    assert own.plain() == whole
    with pytest.raises(ValueError, match=words):
        Certificates(**whole | change)
    two = Certificates(certified=[1, 0], bound=[0.5, -1.0], domains=[1, 3], seconds=[0.1, 0.2])
    with pytest.raises(ValueError, match="as many certificates as images"):
        replace(record(), certificates=two)
    assert replace(record(), certificates=own).certificates == own


def test_white_box_means_crafted_on_the_very_model():
    assert record().white_box
    assert not record(source={"name": "b"}).white_box


@pytest.mark.parametrize(
    "text",
    [
        "", "{", "[]", "null", "3", "{}",
        '{"schema": 1}',
        '{"schema": 99}',
        record().to_json()[:-20],
        json.dumps({**json.loads(record().to_json()), "surplus": 1}),
    ],
)  # fmt: skip
def test_what_is_no_record_is_refused_by_name(text):
    with pytest.raises(StorageError, match=r"units/a\.json"):
        Record.from_json(text, where="units/a.json")


def test_a_record_of_an_earlier_version_has_zeros_for_what_it_did_not_note():
    data = json.loads(record().to_json())
    for name in ("points", "tries", "first_passes", "first_try"):
        del data["columns"][name]
    old = Record.from_json(json.dumps(data))
    assert (old.columns.points, old.columns.tries) == ([0], [0])
    assert (old.columns.first_passes, old.columns.first_try) == ([0], [0])
    del data["columns"]["first_success"]
    with pytest.raises(StorageError, match="first_success"):
        Record.from_json(json.dumps(data))


FULL = {
    "key": "k",
    "target": {"name": "a", "fingerprint": "f", "output": "logits", "coupling": "joint", "sources": ["exact"],
               "details": {"architecture": "net", "inference": [{"defense": "JPEG"}], "lr": 0.1}},
    "source": {"name": "a", "fingerprint": "f", "gradient_source": "exact", "gradients": 7, "stand_in": "g"},
    "attack": {"label": "pgd", "name": "m:C", "title": "PGD", "options": {"steps": 7, "x": None},
               "library": "robench", "library_version": "1.0", "minimises": False, "needs": "gradient",
               "control": False, "revision": 2},
    "threat": {"norm": "Linf", "eps": 0.1, "bounds": [0.0, 1.0], "goal": "untargeted",
               "knowledge": ["weights"], "budget": None, "eps_text": "0.1"},
    "dataset": {"name": "toy", "split": "test", "digest": "d", "set": "s", "n": 2, "classes": ["x", "y"]},
    "seed": 0,
    "columns": {"index": [0, 1], "label": [1, 0], "clean": [1, 0], "adversarial": [0, 0],
                "status": ["broken", "robust"], "linf": [0.1, 0.0], "l2": [0.2, 0.0], "forwards": [3.0, 7.0],
                "backwards": [2.0, 7.0], "first_success": [1, 0], "points": [3, 8], "tries": [1, 1],
                "first_passes": [2, 0], "first_try": [1, 0], "stood": ["01", "11"]},
    "findings": [{"code": "c", "evidence": "e", "remedy": "r"}],
    "provenance": {"versions": {"torch": "2"}, "device": "cpu", "machine": "x86_64", "cores": None,
                   "threads": 1,
                   "gpu": "g", "batch_size": 2, "seconds": 0.5, "images_sha256": "h",
                   "engine": {"used": "eager", "not_used": {"folded": "why"}, "proof": {"outputs": 1e-7}},
                   "shard": 2, "crafted": "c"},
    "schema": 1,
}  # fmt: skip


def paths(value, path=()):
    """Yield the path of every value that a class of records knows, options and details as a whole."""
    yield path
    if isinstance(value, dict) and path[-1:] not in {("details",), ("options",)}:
        for name, item in value.items():
            yield from paths(item, (*path, name))


def put(path, value):
    data = json.loads(json.dumps(FULL))
    place = data
    for name in path[:-1]:
        place = place[name]
    place[path[-1]] = value
    return json.dumps(data)


def read(text):
    return Record.from_json(text, where="units/k.json")


def test_what_is_read_is_written_again_byte_by_byte_whatever_fields_there_are():
    assert read(json.dumps(FULL)).to_json() == json.dumps(FULL)
    less = json.loads(json.dumps(FULL))
    for part in ("target", "source", "attack", "threat", "dataset", "provenance"):
        for name in list(less[part]):
            if name not in {"name", "label", "split"}:
                del less[part][name]
                less[part] = {"later": {"than": ["now"]}, **less[part], "extra": 1, "stated": None}
                assert read(json.dumps(less)).to_json() == json.dumps(less)


def test_a_changed_part_keeps_what_it_does_not_know():
    old = read(put(("provenance", "later"), [1]))
    new = replace(old, provenance=replace(old.provenance, crafted="other", failed_jobs=("one",)))
    data = json.loads(new.to_json())["provenance"]
    assert data == {**FULL["provenance"], "later": [1], "crafted": "other", "failed_jobs": ["one"]}


def test_an_infinite_radius_is_the_text_inf():
    far = read(put(("threat", "eps"), "inf"))
    assert far.threat.eps == math.inf
    assert json.loads(far.to_json())["threat"]["eps"] == "inf"


WRONG = [None, True, 3, 10**400, -0.5, math.nan, math.inf, "text", [], [[]], [None], ["a", 1], [2**70],
         [math.nan],
         {}, {"": {}}, {"a": math.inf}]  # fmt: skip


@pytest.mark.parametrize("path", [p for p in paths(FULL) if p], ids=".".join)
def test_a_wrong_value_in_any_field_is_read_or_refused_by_name(path):
    for wrong in WRONG:
        try:
            good = read(put(path, wrong))
        except StorageError as error:
            assert str(error).startswith("units/k.json: expected")  # noqa: PT017
            assert path[-1] in str(error) or path == ("schema",)  # noqa: PT017
            assert len(str(error)) < 1000  # noqa: PT017
        else:
            assert read(good.to_json()) == good


@pytest.mark.parametrize(
    ("path", "wrong"),
    [
        ("key", 3), ("target", None), ("target.name", None), ("target.sources", "exact"),
        ("target.sources", ["exact", 1]), ("target.details", []), ("source.gradients", 1.5),
        ("source.gradients", True), ("attack.options", None), ("attack.minimises", 0), ("threat.eps", "0.1"),
        ("threat.eps", math.nan), ("threat.bounds", [0.0]), ("threat.knowledge", "weights"),
        ("dataset.n", "2"), ("dataset.classes", [1, 2]), ("seed", None), ("columns.index", [0.0, 1.0]),
        ("columns.index", [0]), ("columns.linf", [0.1, math.nan]), ("columns.l2", [0.1, 10**400]),
        ("columns.label", [0, 2**64]), ("columns.status", ["broken", "fine"]), ("columns.stood", ["01", "1"]),
        ("columns.stood", ["01", "12"]), ("findings", {}), ("findings", [3]), ("findings", [{"code": "c"}]),
        ("provenance.seconds", "1"), ("provenance.engine", "eager"), ("provenance.engine", {"used": 1}),
        ("provenance.versions", {"torch": 2}), ("provenance.shard", 2.0), ("provenance.later", math.inf),
        ("target.details", {"deep": {"x": [1, math.nan]}}), ("schema", True), ("schema", "1"),
    ],
)  # fmt: skip
def test_a_wrong_value_is_refused(path, wrong):
    with pytest.raises(StorageError, match=r"^units/k\.json: ") as error:
        read(put(tuple(path.split(".")), wrong))
    assert path.split(".")[-1] in str(error.value)


@pytest.mark.parametrize(
    ("part", "name"),
    [("target", "name"), ("source", "name"), ("attack", "label"), ("dataset", "name"), ("dataset", "split"),
     ("columns", "index"), ("columns", "l2")],
)  # fmt: skip
def test_a_missing_field_is_named(part, name):
    data = json.loads(json.dumps(FULL))
    del data[part][name]
    with pytest.raises(StorageError, match=rf"`{part}\.{name}`"):
        read(json.dumps(data))
    del data[part]
    with pytest.raises(StorageError, match=f"`{part}`"):
        read(json.dumps(data))


@pytest.mark.parametrize("depth", [100, 900, 100_000])
def test_endless_nesting_is_no_record(depth):
    deep = "[" * depth + "]" * depth
    for text in (
        deep,
        "[" * depth,
        put(("target", "details"), {"x": 0}).replace('{"x": 0}', f'{{"x": {deep}}}'),
    ):
        with pytest.raises(StorageError, match=r"units/k\.json"):
            read(text)


@pytest.mark.parametrize("seed", [0, 2**63, 2**64, 10**400])
def test_a_seed_may_be_as_large_as_a_plan_allows(seed):
    assert Record.from_json(record(seed=seed).to_json()).seed == seed


@pytest.mark.parametrize("seed", [True, 1.0, "1", None])
def test_a_seed_is_a_whole_number(seed):
    plain = json.loads(record().to_json()) | {"seed": seed}
    with pytest.raises(StorageError, match="seed"):
        Record.from_json(json.dumps(plain))
