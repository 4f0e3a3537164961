"""What the parts of a record tell beyond their fields."""

import math
from dataclasses import asdict, replace

import pytest

from robench.record.parts import (
    Engine,
    Provenance,
    RecordedAttack,
    RecordedDataset,
    RecordedSource,
    RecordedTarget,
    RecordedThreat,
)
from robench.record.strict_json import DEEPEST, FieldError, check_depth, described


@pytest.mark.parametrize(
    ("classes", "label", "name"),
    [
        (("cat", "dog"), 1, "dog"), (("cat", "dog"), 2, "rejected"), (("cat", "dog"), 3, "3"),
        (("cat", "dog"), 0, "cat"), (("cat", "dog"), -1, "no answer"), ((), 1, "1"), ((), -2, "no answer"),
    ],
)  # fmt: skip
def test_a_label_has_a_name(classes, label, name):
    assert RecordedDataset(name="pets", split="test", classes=classes).class_name(label) == name


def test_a_detail_is_text_and_empty_where_unknown():
    target = RecordedTarget(name="a", details={"head": "wnll", "depth": 16, "training": None})
    assert [target.detail(name) for name in ("head", "depth", "training", "other")] == ["wnll", "16", "", ""]
    assert not target.joint
    assert RecordedTarget(name="a", coupling="joint").joint


def test_what_is_made_in_memory_is_written_without_its_defaults():
    assert RecordedThreat().plain() == {}
    assert RecordedThreat(norm="L2").plain() == {"norm": "L2"}
    assert RecordedAttack(label="clean").plain() == {"label": "clean"}
    assert RecordedAttack(label="clean").is_clean


DEFAULTS = [
    (RecordedTarget, {"name": "a"}, {"fingerprint": "", "output": "", "coupling": "", "sources": (),
                                     "details": {}, "recipe": ""}),
    (RecordedSource, {"name": "a"}, {"fingerprint": "", "gradient_source": "", "gradients": 0,
                                     "stand_in": ""}),
    (RecordedAttack, {"label": "a"}, {"name": "", "title": "", "options": {}, "library": "",
                                      "library_version": "", "minimises": False, "needs": "gradient",
                                      "control": False, "revision": 1, "code_sha256": ""}),
    (RecordedThreat, {}, {"norm": "", "eps": math.inf, "bounds": None, "goal": "",
                          "knowledge": None, "budget": None, "eps_text": ""}),
    (RecordedDataset, {"name": "d", "split": "s"}, {"digest": "", "set": "", "n": 0, "classes": ()}),
    (Engine, {}, {"used": "", "not_used": {}, "proof": None}),
    (Provenance, {}, {"versions": {}, "device": "", "machine": "", "cores": None, "threads": 0, "gpu": "",
                      "batch_size": 0, "micro_batch": 0, "seconds": 0.0, "images_sha256": "", "engine": None,
                      "shard": None, "crafted": "", "failed_jobs": ()}),
]  # fmt: skip


@pytest.mark.parametrize(
    ("part", "fields", "rest"), DEFAULTS, ids=lambda value: getattr(value, "__name__", "")
)
def test_what_an_old_record_does_not_tell_is_unknown(part, fields, rest):
    values = asdict(part.read(fields))
    assert values.pop("extra") == {}
    assert values.pop("stated") == tuple(fields)
    assert values == fields | rest
    assert [type(values[name]) for name in rest] == [type(value) for value in rest.values()]


def test_unknown_fields_may_be_dropped():
    target = RecordedTarget.read({"later": 1, "name": "a"})
    assert target.plain() == {"later": 1, "name": "a"}
    assert target.extra == {"later": 1}
    assert RecordedTarget(name="a", stated=("later", "name")).plain() == {"name": "a"}


def test_nesting_is_counted():
    for depth in (DEEPEST - 1, DEEPEST + 1):
        value = "x"
        for _ in range(depth):
            value = [value]
        if depth < DEEPEST:
            check_depth(value, path="p")
        else:
            with pytest.raises(FieldError, match="`p`"):
                check_depth(value, path="p")


def test_nesting_may_be_just_as_deep_as_allowed():
    value = "x"
    for _ in range(DEEPEST):
        value = {"a": value} if isinstance(value, list) else [value]
    check_depth(value)
    with pytest.raises(FieldError, match=f"at most {DEEPEST} objects"):
        check_depth([value])
    with pytest.raises(FieldError, match=r"a finite number in the field `a\.b`, got nan"):
        check_depth({"a": {"b": [1, {"c": 2}, float("nan")]}})


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (None, "null"), ({}, "an object"), ([1], "a list"), ((1,), "a list"), (True, "True"), (1.5, "1.5"),
        (2**63 - 1, str(2**63 - 1)), (2**63, "a huge number"), (-(2**63), "a huge number"),
        (10**4000, "a huge number"), ("x" * 78, "'" + "x" * 78 + "'"), ("x" * 79, "'" + "x" * 76 + "..."),
    ],
)  # fmt: skip
def test_a_value_in_a_few_words(value, words):
    assert described(value) == words
    assert len(words) <= 80


@pytest.mark.parametrize("number", [2**63 - 1, -(2**63), 0])
def test_whole_numbers_of_64_bits_are_read(number):
    assert RecordedSource.read({"name": "a", "gradients": number}).gradients == number
    assert RecordedSource.read({"name": "a", "gradients": number}).plain()["gradients"] == number


@pytest.mark.parametrize("number", [2**63, -(2**63) - 1, 2**70, True, 1.0, "1", None])
def test_what_has_more_bits_or_is_none_is_refused(number):
    with pytest.raises(FieldError, match=r"a whole number of 64 bits in the field `p\.gradients`"):
        RecordedSource.read({"name": "a", "gradients": number}, path="p")


@pytest.mark.parametrize("number", [0, 2**1000, -1, 1.5])
def test_a_radius_is_any_finite_number_or_inf(number):
    assert RecordedThreat.read({"eps": number}).eps == number
    assert RecordedThreat.read({"eps": "inf"}).plain() == {"eps": "inf"}
    for wrong in (float("nan"), float("inf"), 10**400, "1", None, [1.0]):
        with pytest.raises(FieldError, match="`eps`"):
            RecordedThreat.read({"eps": wrong})


def test_an_object_is_one_with_names():
    for wrong in (None, [], 3, {1: 2}):
        with pytest.raises(FieldError, match="an object in the field `p`"):
            RecordedThreat.read(wrong, path="p")


def test_pairs_have_two_entries():
    assert RecordedThreat.read({"bounds": [0, 1]}).bounds == (0, 1)
    for wrong in ([0], [0, 1, 2], []):
        with pytest.raises(FieldError, match=f"2 entries in the field `bounds`, got {len(wrong)}"):
            RecordedThreat.read({"bounds": wrong})


def test_what_was_read_is_written_in_that_order_and_what_was_added_behind():
    threat = RecordedThreat.read({"later": 1, "goal": "targeted", "norm": "L2"})
    assert list(threat.plain()) == ["later", "goal", "norm"]
    assert list(replace(threat, eps=0.5).plain()) == ["later", "goal", "norm", "eps"]
    assert list(replace(threat, goal="").plain()) == ["later", "goal", "norm"]  # stated, if only by default
    assert replace(threat, stated=None).plain() == {"norm": "L2", "goal": "targeted", "later": 1}
