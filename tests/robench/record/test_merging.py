"""Parts of a plan become one folder; what does not belong together is refused."""

import dataclasses

import pytest

from benchmarks.free_attacks import Shape, key_of, record, run
from robench.errors import ConfigError, StorageError
from robench.record.merging import merge
from robench.record.repetition import differences_of
from robench.record.store import Store

SHAPE = Shape(models=2, attacks=2, shards=2, images=4)


@pytest.fixture
def parts(tmp_path):
    """Two parts that have the clean units in common, and the whole they come from."""
    run(tmp_path / "whole", SHAPE)
    plan, text = SHAPE.plan()
    from robench.plan.spec import to_json

    folders = [tmp_path / "one", tmp_path / "two"]
    for number, folder in enumerate(folders):
        store = Store(folder)
        store.prepare()
        store.begin(to_json(plan), text)
        for shard in range(SHAPE.shards):
            for index, (_, label) in enumerate(SHAPE.jobs):
                if label == "clean" or index % 2 == number:
                    store.write(record(SHAPE, shard, index))
                    store.note(key_of(shard, index))
        store.write_json("run.json", {"status": "part", "units": [], "expected": SHAPE.units})
    return tmp_path, folders


def test_parts_are_the_whole(parts):
    folder, folders = parts
    merged = merge(folders, folder / "all")
    assert (merged.records, merged.expected, merged.twice) == (SHAPE.units, SHAPE.units, 4)
    comparison = differences_of(Store(folder / "whole"), Store(folder / "all"))
    assert comparison.compared == SHAPE.units
    assert comparison.same
    assert Store(folder / "all").read_json("run.json")["status"] == "finished"


def test_one_part_is_not_the_whole(parts):
    folder, folders = parts
    merge(folders[:1], folder / "all")
    assert Store(folder / "all").read_json("run.json")["status"] == "interrupted"
    comparison = differences_of(Store(folder / "whole"), Store(folder / "all"))
    assert comparison.missing == SHAPE.units - comparison.compared > 0
    assert not comparison.same


def test_another_plan_is_refused_before_anything_is_written(parts):
    folder, folders = parts
    run(folder / "other", dataclasses.replace(SHAPE, attacks=1))
    with pytest.raises(ConfigError, match="another plan"):
        merge([*folders, folder / "other"], folder / "all")
    assert not (folder / "all").exists()
    with pytest.raises(ConfigError, match="expected a run folder, got none"):
        merge([folder / "nothing"], folder / "all")


def test_two_verdicts_on_one_unit_are_refused(parts):
    folder, folders = parts
    store = Store(folders[1])
    clean = store.read(key_of(0, 0))
    changed = dataclasses.replace(clean, columns=dataclasses.replace(clean.columns, clean=[0] * 4))
    store.write(changed, replace=True)
    with pytest.raises(StorageError, match="other verdicts"):
        merge(folders, folder / "all")


def test_a_repetition_names_what_differs(parts):
    folder, _ = parts
    store = Store(folder / "whole")
    run(folder / "again", SHAPE)
    again = Store(folder / "again")
    key = key_of(1, 2)
    one = again.read(key)
    one.columns.forwards[0] += 1
    provenance = dataclasses.replace(one.provenance, threads=7)
    again.write(dataclasses.replace(one, provenance=provenance), replace=True)
    comparison = differences_of(store, again)
    assert len(comparison.verdicts) == 1
    assert "fgsm on m0 through exact (Linf 0.1) -> m0" in comparison.lines()[1]
