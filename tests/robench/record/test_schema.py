import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from robench.errors import StorageError
from robench.record.schema import Columns, Finding, Record

numbers = st.floats(allow_nan=False, allow_infinity=False)
texts = st.text(max_size=20)


def record(**changes):
    columns = Columns(
        index=[0], label=[1], clean=[1], adversarial=[2], status=["broken"], linf=[0.1], l2=[0.2],
        forwards=[3.0], backwards=[2.0], first_success=[1],
    )  # fmt: skip
    values = {
        "key": "k", "target": {"name": "a"}, "source": {"name": "a"}, "attack": {"label": "pgd"},
        "threat": {}, "dataset": {}, "seed": 0, "columns": columns, "provenance": {},
    }  # fmt: skip
    return Record(**{**values, **changes})


@settings(deadline=None)
@given(
    name=texts,
    options=st.dictionaries(texts, st.one_of(numbers, texts, st.integers(), st.none(), st.booleans())),
    size=numbers,
)
def test_json_round_trip_is_exact(name, options, size):
    finding = Finding(code="c", evidence=name, remedy="r")
    before = record(target={"name": name}, attack=options, findings=(finding,), provenance={"seconds": size})
    assert Record.from_json(before.to_json()) == before


def test_json_never_holds_nan():
    with pytest.raises(ValueError, match="JSON"):
        record(provenance={"x": math.nan}).to_json()


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
