"""What the parts of a record tell beyond their fields."""

import pytest

from robench.record.parts import RecordedAttack, RecordedDataset, RecordedTarget, RecordedThreat
from robench.record.reader import DEEPEST, FieldError, check_depth


@pytest.mark.parametrize(
    ("classes", "label", "name"),
    [
        (("cat", "dog"), 1, "dog"), (("cat", "dog"), 2, "rejected"), (("cat", "dog"), 3, "3"),
        (("cat", "dog"), -1, "no answer"), ((), 1, "1"), ((), -2, "no answer"),
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
