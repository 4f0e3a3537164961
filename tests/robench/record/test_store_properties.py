"""Whatever is written, damaged and merged in whatever order, a folder holds what a dictionary would."""

import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.free_attacks import Shape, key_of, record
from robench.plan.spec import to_json
from robench.record.merging import merge
from robench.record.store import Store

SHAPE = Shape(models=1, attacks=2, shards=2, images=2)
PLAN, TEXT = SHAPE.plan()
UNITS = {key_of(shard, index): (shard, index) for shard in range(2) for index in range(len(SHAPE.jobs))}
KEYS = sorted(UNITS)
SOME = st.sets(st.sampled_from(KEYS))


def one(key, seed=0):
    return record(SHAPE, *UNITS[key]).noting(seed=seed)


def folder_with(root, keys):
    """Return a run folder with the records of some units, each noted."""
    store = Store(root)
    store.prepare()
    store.begin(to_json(PLAN), TEXT)
    for key in keys:
        store.write(one(key))
        store.note(key)
    store.write_json("run.json", {"status": "part", "units": [], "expected": len(KEYS)})
    return root


@pytest.mark.thorough
@settings(deadline=None, max_examples=25)
@given(st.lists(SOME, min_size=1, max_size=4), st.data())
def test_parts_may_be_merged_in_any_order_and_any_groups(parts, data):
    place = Path(tempfile.mkdtemp())
    try:
        folders = [folder_with(place / str(number), keys) for number, keys in enumerate(parts)]
        whole = set().union(*parts)
        at_once = merge(folders, place / "at-once")
        assert at_once.records == len(whole)
        assert at_once.expected == len(KEYS)
        assert at_once.twice == sum(sum(key in keys for keys in parts) > 1 for key in whole)
        order = data.draw(st.permutations(folders))
        cut = data.draw(st.integers(1, len(order)))
        for group in (order[:cut], order[cut:]):
            if group:
                merge(group, place / "in-groups")
        for name in ("at-once", "in-groups"):
            store = Store(place / name)
            records, faults = store.readable()
            assert not faults
            assert {r.key: r.columns for r in records} == {key: one(key).columns for key in whole}
            status = "finished" if len(whole) == len(KEYS) else "interrupted"
            assert store.facts()[0]["status"] == status
    finally:
        shutil.rmtree(place)


STEPS = st.one_of(
    st.tuples(st.just("write"), st.sampled_from(KEYS[:3]), st.integers(0, 3), st.booleans()),
    st.tuples(st.just("damage"), st.sampled_from(KEYS[:3]), st.floats(0, 1)),
    st.tuples(st.just("fail"), st.sampled_from(KEYS[:3])),
    st.tuples(st.just("begin"), st.booleans()),
)


@pytest.mark.thorough
@settings(deadline=None, max_examples=40)
@given(st.lists(STEPS, max_size=12))
def test_a_store_holds_what_a_dictionary_would(steps):
    place = Path(tempfile.mkdtemp())
    try:
        store = Store(place, told=lambda text: None)
        store.prepare()
        whole, bad_keys, failures, notes, plan = {}, set(), {}, set(), None
        for what, *rest in steps:
            if what == "write":
                key, seed, replace = rest
                store.write(one(key, seed), replace=replace)
                if replace or key not in whole:  # of two writers the first wins
                    whole[key] = seed
                bad_keys.discard(key)
                failures.pop(key, None)
                if plan is not None:
                    store.note(key)
                    notes.add(key)
            elif what == "damage" and rest[0] in whole:
                path = store.unit(rest[0])
                path.write_bytes(path.read_bytes()[: int(rest[1] * (path.stat().st_size - 2))])
                whole.pop(rest[0])
                bad_keys.add(rest[0])
            elif what == "fail":
                store.write_error(rest[0], {"error": "why"})
                failures[rest[0]] = plan
            elif what == "begin":
                store.begin({"name": "x", "seed": rest[0]}, TEXT)
                notes = notes if plan is rest[0] else set()
                plan = rest[0]
        assert {key for key in KEYS if store.has(key)} == whole.keys()
        assert {key: store.read(key).seed for key in whole} == whole
        assert set(store.keys()) == whole.keys() | bad_keys
        # What failed for one plan is shown with it, and what failed for none with any.
        errors = {key for key, request in failures.items() if request in {None, plan}}
        assert set(store.read_errors()) == errors
        if plan is not None:
            assert set(store.planned()) == notes
    finally:
        shutil.rmtree(place)
