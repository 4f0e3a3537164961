"""Columns in short forms hold every value exactly, whatever the values are, and refuse what is none."""

import base64
import json
import math
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from robench.errors import StorageError
from robench.record.columns.column_encoding import (
    STATUSES,
    pack_draws,
    pack_numbers,
    pack_status,
    status_codes,
    unpack_draws,
    unpack_numbers,
    unpack_status,
)
from robench.record.columns.image_columns import Columns
from robench.record.columns.packed_columns import packed_columns, unpacked_columns
from robench.record.schema import Record
from robench.record.seal import sealed_text
from robench.record.store import Store
from robench.record.strict_json import FieldError
from tests.robench.record.test_schema import record

FINITE = st.floats(allow_nan=False, allow_infinity=False)
LONGEST = 30
whole = st.one_of(
    st.integers(-(2**63), 2**63 - 1), st.integers(-3, 3), st.integers(0, 255), st.integers(-(2**31), 2**32)
)
floats = st.one_of(
    FINITE,
    st.sampled_from([0.0, -0.0, 1.0, 5e-324, 0.1, 2.0**32, 2.0**53]),
    st.floats(width=32, allow_nan=False, allow_infinity=False),
)


def bits(values):
    return [struct.pack("<d", value) for value in values]


def through_text(data):
    return json.loads(json.dumps(data, allow_nan=False))


@given(st.lists(whole, max_size=LONGEST))
def test_whole_numbers_come_back_exactly(values):
    data = through_text(pack_numbers(values, int))
    assert unpack_numbers(data, int, len(values), path="x").tolist() == values


@given(st.lists(floats, max_size=LONGEST))
def test_floats_come_back_to_the_bit(values):
    data = through_text(pack_numbers(values, float))
    assert bits(unpack_numbers(data, float, len(values), path="x").tolist()) == bits(values)


@given(whole, st.integers(1, LONGEST))
def test_what_repeats_or_counts_up_takes_a_few_signs(start, n):
    assert pack_numbers([start] * n, int) == {"same": start}
    if n > 1 and start + n < 2**63:
        assert pack_numbers(list(range(start, start + n)), int) == {"from": start}


def test_whole_numbers_among_floats_take_few_bytes():
    assert pack_numbers([3.0, 7.0], float) == {"u1": base64.b64encode(bytes([3, 7])).decode()}
    assert pack_numbers([0.5, 0.25], float).keys() == {"f4"}
    assert pack_numbers([0.1, 0.25], float).keys() == {"f8"}
    assert pack_numbers([0.0, -0.0], float).keys() == {"f4"}  # a whole number has no such zero


@pytest.mark.parametrize("values", [[2**53 + 1, 0.5], [10**400], [True], ["a"], [None], [1.5, True]])
def test_what_no_array_holds_exactly_stays_a_list(values):
    assert pack_numbers(values, float) == values


@pytest.mark.parametrize("wrong", [math.nan, math.inf, -math.inf])
def test_a_number_that_is_none_is_neither_written_nor_read(wrong):
    with pytest.raises(ValueError, match="JSON"):
        pack_numbers([0.5, wrong], float)
    bad = {"f8": base64.b64encode(struct.pack("<2d", 0.5, wrong)).decode()}
    with pytest.raises(FieldError, match="finite numbers in the field `l2`"):
        unpack_numbers(bad, float, 2, path="l2")
    with pytest.raises(FieldError, match="l2"):
        unpack_numbers({"same": wrong}, float, 2, path="l2")


@pytest.mark.parametrize(
    "wrong",
    [None, 3, "AQ==", {}, {"same": "1"}, {"same": True}, {"same": 0.5}, {"same": 2**63},
     {"same": 1, "from": 1}, {"from": 2**63 - 1}, {"from": 0.5}, {"u1": 3}, {"u1": "A"},
     {"u1": "AQI"}, {"u1": "AQI=\n"},
     {"u1": "é"},
     {"u1": "AQ=="}, {"u2": "AQI="}, {"f8": "AAAAAAAA8D8AAAAAAADwPw=="}, {"u8": "AQI="}, [1], [1, 2, 3],
     [1, 0.5]],
    ids=str,
)  # fmt: skip
def test_what_is_no_column_is_refused_by_name(wrong):
    with pytest.raises(FieldError, match=r"columns\.index"):
        unpack_numbers(wrong, int, 2, path="columns.index")


@given(st.lists(st.sampled_from(STATUSES), max_size=LONGEST))
def test_statuses_are_letters(statuses):
    text = pack_status(status_codes(statuses))
    assert text == "".join(status[0] for status in statuses)
    assert unpack_status(text, path="x").tolist() == unpack_status(statuses, path="x").tolist()
    assert [STATUSES[code] for code in unpack_status(text, path="x")] == statuses


@pytest.mark.parametrize("wrong", ["R", "rx", "r\x00", "ré", None, 3, ["fine"], {"same": "robust"}])
def test_an_unknown_status_is_refused(wrong):
    with pytest.raises(FieldError, match="status"):
        unpack_status(wrong, path="status")


@given(st.integers(1, 4).flatmap(lambda k: st.lists(st.text("01", min_size=k, max_size=k), min_size=1)))
def test_draws_come_back(texts):
    draws = unpack_draws(texts, len(texts), path="x")
    again = unpack_draws(through_text(pack_draws(draws)), len(texts), path="x")
    assert ["".join(map(str, row)) for row in again.tolist()] == texts


@pytest.mark.parametrize(
    "wrong",
    [None, 3, ["1"], ["1", "01"], ["1", "2"], {"draws": 0, "text": ""}, {"draws": 1, "text": "1"},
     {"draws": 1, "text": "12"}, {"draws": True, "text": "11"}, {"draws": 1, "text": "11", "more": 1}],
    ids=str,
)  # fmt: skip
def test_draws_that_are_none_are_refused(wrong):
    with pytest.raises(FieldError, match="stood"):
        unpack_draws(wrong, 2, path="stood")


NAMES = (
    "index", "label", "clean", "adversarial", "first_success", "points", "tries", "first_passes", "first_try"
)  # fmt: skip


@st.composite
def columns(draw):
    n = draw(st.integers(0, 8))
    some = {name: draw(st.lists(whole, min_size=n, max_size=n)) for name in NAMES}
    some |= {
        name: draw(st.lists(floats, min_size=n, max_size=n))
        for name in ("linf", "l2", "forwards", "backwards")
    }
    some["status"] = draw(st.lists(st.sampled_from(STATUSES), min_size=n, max_size=n))
    k = draw(st.integers(0, 3))
    some["stood"] = draw(st.lists(st.text("01", min_size=k, max_size=k), min_size=n, max_size=n)) if k else []
    return Columns(**some)


@pytest.mark.thorough
@settings(deadline=None)
@given(columns())
def test_a_record_of_any_columns_comes_back_as_it_was(some):
    before = record(columns=some)
    after = Record.from_json(before.to_json())
    assert after == before
    assert after.to_json() == before.to_json()
    assert (len(after.columns), after.draws) == (len(some.index), len(some.stood[0]) if some.stood else 0)
    assert Record.from_json(record(columns=some, schema=1).to_json()).columns == some
    for lean in (some.compact(), after.columns.released(lambda key, status, digest: after.columns, "")):
        assert lean == some
        assert record(columns=lean).to_json() == before.to_json()


@pytest.mark.thorough
@settings(deadline=None)
@given(columns())
def test_arrays_say_what_the_lists_say(some):
    after = Record.from_json(record(columns=some).to_json()).columns
    for name in (*NAMES, "linf", "l2", "forwards", "backwards"):
        assert after.array(name).tolist() == getattr(some, name) == some.array(name).tolist()
    assert after.array("status").tolist() == some.array("status").tolist()
    assert np.array_equal(after.array("stood"), some.array("stood"))


def test_who_changes_a_list_changes_the_column():
    after = Record.from_json(record().to_json()).columns
    after.l2[0] = 7.0
    assert after.array("l2").tolist() == [7.0]
    assert Record.from_json(record(columns=after).to_json()).columns.l2 == [7.0]


def test_columns_that_are_not_of_one_length_or_unknown_are_refused():
    two = {name: column * 2 for name, column in record().columns.plain().items()}
    data = json.loads(record(columns=Columns(**{**two, "l2": [0.1, 0.2]})).to_json())
    for name, value in (("l2", []), ("status", "bbb"), ("status", ""), ("later", [0]), ("index", {"u1": ""})):
        text = json.dumps({**data, "columns": {**data["columns"], name: value}})
        with pytest.raises(StorageError, match=r"units/k\.json: expected .*columns"):
            Record.from_json(text, where="units/k.json")


def test_a_flipped_bit_anywhere_in_packed_columns_is_noticed():
    one = record(columns=unpacked_columns({**packed_columns(record().columns), "l2": {"f8": "mpmZmZmZyT8="}}))
    text = sealed_text(one.to_json()) + "\n"
    first, last = text.index('"columns"'), text.index('"findings"')
    assert Record.from_json(text) == one
    for at in range(first, last):
        variant = text[:at] + chr(ord(text[at]) ^ 1) + text[at + 1 :]
        with pytest.raises(StorageError, match=r"units/k\.json"):
            Record.from_json(variant, where="units/k.json")


def test_columns_left_in_the_file_are_read_from_it_and_never_from_another(tmp_path):
    store = Store(tmp_path)
    store.prepare()
    store.write(record())
    (one,) = store.read_records(["k"])
    assert one.columns.l2 == [0.2]
    (again,) = store.read_records(["k"])
    other = Columns(**{**record().columns.plain(), "status": ["robust"], "l2": [0.7]})
    store.write(record(columns=other), replace=True)
    with pytest.raises(StorageError, match="the record that was there when this command began"):
        again.columns.array("l2")
    (third,) = store.read_records(["k"])
    store.unit("k").write_text(store.unit("k").read_text().replace('"status": "r"', '"status": "b"'))
    with pytest.raises(StorageError, match="as it was written"):
        third.columns.array("l2")
    assert third.columns.array("status").tolist() == [STATUSES.index("robust")]  # it was kept


def test_records_of_version_1_are_read_and_written_as_they_were(tmp_path):
    store = Store(tmp_path)
    store.prepare()
    old = record(schema=1)
    assert json.loads(old.to_json())["columns"]["status"] == ["broken"]
    store.write(old)
    assert store.read("k").to_json() == old.to_json()
    (lean,) = store.read_records(["k"])
    assert (lean.schema, lean.columns) == (1, old.columns)
    store.unit("k").unlink()
    assert lean.columns.array("l2").tolist() == [0.2]  # slow to read: it is kept


@pytest.mark.parametrize("wrong", [None, "", 0, False, {}, {"draws": 0, "text": ""}])
def test_draws_that_are_none_must_say_so_by_an_empty_list(wrong):
    numbers = (*NAMES, "linf", "l2", "forwards", "backwards")
    data = {"status": "rb", **{name: [1, 2] for name in numbers}}
    assert unpacked_columns(data).draws == unpacked_columns(data | {"stood": []}).draws == 0
    with pytest.raises(FieldError, match="stood"):
        unpacked_columns(data | {"stood": wrong})
