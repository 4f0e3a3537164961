"""A record is refused for the same reason whoever reads it, however much of it was read before."""

import base64
import copy
import json
import struct

import pytest

from benchmarks.free_attacks import Shape
from benchmarks.free_attacks import record as free_record
from robench.errors import StorageError
from robench.record import records_alike, shared_parts
from robench.record.columns import column_arrays, column_encoding
from robench.record.columns.packed_columns import checked_columns, unpacked_columns
from robench.record.schema import Record

SHAPE = Shape(models=2, attacks=2, shards=1, images=4, transfer=True)


def packed(code, *values):
    return base64.b64encode(struct.pack(f"<{len(values)}{code}", *values)).decode()


STRANGE = [
    None, True, 0, -1, 1.5, float("nan"), float("inf"), 2**70, "", "x", "inf", [], [1], [1, 2, 3, 4], {},
    {"same": 1}, {"same": 1.5}, {"same": True}, {"same": "a"}, {"same": float("nan")}, {"same": 2**70},
    {"from": 3}, {"from": 2**63 - 2}, {"from": 1.5}, {"u1": "AQIDBA=="}, {"u1": "AQIDBA="}, {"u1": "AQID"},
    {"u1": "AQIDBA==AA"}, {"u1": "AQ IDBA=="}, {"u1": "é"}, {"u1": 5}, {"u3": "AQIDBA=="}, {"i8": "AQIDBA=="},
    {"f4": packed("f", 1, 2, 3, float("inf"))}, {"f8": packed("d", 1, -0.0, 3, 5e-324)},
    {"f8": packed("d", 1, 2, float("nan"), 4)}, {"f4": packed("f", 1, 2, 3)}, {"f8": packed("d", 1, 2)},
    {"same": 1, "u1": "AQIDBA=="}, {"used": "it"}, {"a": {"b": [{"c": 1}]}}, "robb", "rmfb",
]  # fmt: skip
DELETED = object()


def places(data, path=()):
    """Every place of a record, itself not."""
    if isinstance(data, dict):
        for name, value in data.items():
            yield (*path, name)
            yield from places(value, (*path, name))


def changed_at(data, path, value):
    data = copy.deepcopy(data)
    holder = data
    for name in path[:-1]:
        holder = holder[name]
    if value is DELETED:
        del holder[path[-1]]
    else:
        holder[path[-1]] = value
    return json.dumps(data)


def forget():
    for memory in (
        records_alike._known, shared_parts._parts, shared_parts._conditions, shared_parts._alike,
        column_arrays._shared, column_arrays._sums, column_encoding._constant,
    ):  # fmt: skip
        memory.clear()


def outcome(text, *, light):
    """What is told of a text: why it is refused, or what boards see of it."""
    try:
        record = Record.from_json(text, where="f", light=light)
    except StorageError as error:
        return error.expected, error.got
    near = [record.columns.array(name).tobytes() for name in ("index", "label", "clean", "status", "stood")]
    whole = None if light else record.to_json()
    fields = [getattr(record, name) for name in ("key", "target", "source", "attack", "threat", "dataset")]
    rest = [record.seed, record.findings, record.schema, record.certificates]
    making = record.provenance.plain(), record.provenance.stated, record.columns.draws
    return near, fields, rest, making, record.columns.totals(), whole


def same(text):
    """It is told the same of a text by both ways, with all that was read before and with nothing."""
    first = [outcome(text, light=light) for light in (False, True)]
    again = [outcome(text, light=light) for light in (True, False)][::-1]
    forget()
    anew = [outcome(text, light=light) for light in (False, True)]
    assert first == again == anew
    assert first[0][:5] == first[1][:5]
    return first[1]


@pytest.fixture(scope="module")
def plain():
    data = json.loads(free_record(SHAPE, 0, 1).to_json())
    data["provenance"] |= {"versions": {"torch": "2"}, "seconds": 2, "crafted": "k", "later": [1, {"a": 2}]}
    data["provenance"] |= {"engine": {"used": "it", "not_used": {"copy": "slow"}}, "images_sha256": "s"}
    data["findings"] = [{"code": "nonfinite", "evidence": "e", "remedy": "r"}]
    data["columns"] |= {"stood": {"draws": 2, "text": "01101100"}, "l2": {"f8": packed("d", 1, 2, 3, 4)}}
    return data


@pytest.mark.thorough
def test_whatever_stands_in_a_field_both_ways_tell_the_same(plain):
    good = json.dumps(plain)
    assert len(same(good)) == 6
    kinds = set()
    for path in places(plain):
        for value in (DELETED, *STRANGE[:: 1 if path[0] == "columns" else 3]):
            Record.from_json(good, light=True)  # so that what it has alike is known
            kinds.add(len(same(changed_at(plain, path, value))))
    assert kinds == {2, 6}


def test_a_field_that_is_new_is_seen_where_all_else_is_known(plain):
    Record.from_json(json.dumps(plain), light=True)
    assert len(same(json.dumps({**plain, "other": 1}))) == 2
    assert len(same(json.dumps({**plain, "certificates": None}))) == 6
    assert len(same(json.dumps({**plain, "provenance": {**plain["provenance"], "other": 1}}))) == 6


def test_a_sum_is_that_of_the_whole_column(plain):
    for own in ({"same": 0.1}, {"u1": packed("B", 1, 2, 3, 4)}, [0.1, 0.2, 0.3, 1e308], {"same": 1.7e308}):
        data = {**plain["columns"], "forwards": own, "backwards": own}
        whole, light = unpacked_columns(data), checked_columns(data)
        assert light.totals() == whole.totals() == (whole.total("forwards"), whole.total("backwards"))
        assert checked_columns(data).totals() == light.totals()
        assert len(light) == len(whole)
        assert light.draws == whole.draws
