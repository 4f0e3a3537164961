"""Simulated run folders, and what is read from them a second time: the same boards as from whole records."""

import random

import pytest
import torch

from benchmarks.free_attacks import Shape, lay_out, run
from benchmarks.store_cost import measure, work_of
from reports.board.leaderboard import boards
from robench import plugins
from robench.errors import StorageError
from robench.record.schema import Record
from robench.record.store import Store

SHAPE = Shape(models=3, attacks=4, shards=5, images=30, transfer=True)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return lay_out(tmp_path_factory.mktemp("run") / "whole", SHAPE).root


def rendered(records):
    return {name: plugins.find("reports", name)().render(records) for name in ("csv", "markdown", "html")}


def in_memory(folder):
    """Return the records of a folder with all their columns, as lists, that no file is asked for again."""
    store = Store(folder)
    plan, _ = store.plan()
    whole = []
    for key in store.planned():
        try:
            record = store.read(key)
        except StorageError:
            continue
        record.columns.plain()  # from now on they are lists
        whole.append(record.noting(planned=plan))
    return whole


def test_a_folder_that_is_laid_out_is_like_one_that_was_run(tmp_path):
    shape = Shape(models=2, attacks=2, shards=3, images=10, transfer=True)
    copy, ran = lay_out(tmp_path / "made", shape), run(tmp_path / "ran", shape)
    assert sorted(copy.planned()) == sorted(ran.planned())
    assert len(copy.planned()) == shape.units
    assert copy.readable()[1] == ran.readable()[1] == []
    for key in copy.planned():
        assert copy.read(key) == ran.read(key)


@pytest.mark.thorough
def test_what_is_read_from_files_when_it_is_asked_for_gives_the_same_tables(folder):
    records, faults = Store(folder).readable()
    assert not faults
    assert rendered(records) == rendered(in_memory(folder))


@pytest.mark.thorough
def test_the_same_after_records_were_replaced_damaged_and_removed(tmp_path):
    store = lay_out(tmp_path / "run", SHAPE)
    before = rendered(store.readable()[0])
    new_key, bad_key, cut, lost_key = random.Random(0).sample(store.planned(), 4)
    record = store.read(new_key)
    columns = record.columns.plain() | {"status": ["broken"] * SHAPE.images}
    store.write(record.noting(columns=type(record.columns)(**columns)), replace=True)
    text = store.unit(bad_key).read_text("utf-8")
    store.unit(bad_key).write_text(text.replace('"seed": 0', '"seed": 1', 1), "utf-8")
    store.unit(cut).write_bytes(store.unit(cut).read_bytes()[:-40])
    store.unit(lost_key).unlink()
    records, faults = Store(store.root).readable()
    assert {fault.about for fault in faults} == {f"units/{key}.json" for key in (bad_key, cut, lost_key)}
    after = rendered(records)
    assert after == rendered(in_memory(store.root))
    assert after != before


def test_rows_do_not_depend_on_the_order_in_which_shards_were_finished(folder):
    records, _ = Store(folder).readable()
    (board,) = boards(records)
    for seed in range(3):
        (other,) = boards(random.Random(seed).sample(records, len(records)))
        rows = {row.model: row for row in other.rows}
        for row in board.rows:
            assert rows[row.model].worst_case == row.worst_case
            assert rows[row.model].white_box == row.white_box
            assert rows[row.model].attacks == row.attacks
            assert rows[row.model].passes == row.passes
            assert rows[row.model].rank == row.rank


@pytest.mark.thorough
def test_the_unit_whose_folder_is_timed_is_attacked_by_every_step_on_every_image(tmp_path):
    torch.manual_seed(0)
    own, whole = measure(tmp_path / "run", work_of(images=12, steps=3))
    assert own.wall > 0
    assert whole.wall > 0
    attacks = [one for one in Store(tmp_path / "run").read_records() if not one.attack.is_clean]
    assert [set(one.columns.status) for one in attacks] == [{"robust"}]
    assert set(attacks[0].columns.backwards) == {3.0}
    assert len(attacks[0].columns) == 12
    assert isinstance(attacks[0], Record)
