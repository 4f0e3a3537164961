"""What stands source by source is what stands record by record, and no table shows which way it was found."""

import dataclasses

import numpy as np
import pytest

from benchmarks.free_attacks import Shape
from benchmarks.free_attacks import record as free_record
from reports.board import samples
from reports.board.identities import model_of
from reports.board.judgements import judgement_of
from reports.board.shares import robust, stands, worst
from reports.html.page import HTML
from reports.text.csv import CSV
from reports.text.json import JSON
from robench.record.columns.packed_columns import packed_columns, unpacked_columns
from tests.reports.board.test_leaderboard import B, R, record

SHAPE = Shape(models=3, attacks=3, shards=3, images=45, transfer=True)


def read(one, **columns):
    """A record as its file gives it: of one shard the same arrays."""
    return one.noting(columns=unpacked_columns(packed_columns(one.columns) | columns))


@pytest.fixture
def records():
    return [
        read(free_record(SHAPE, shard, index, at))
        for shard in (2, 0, 1)  # in any order
        for index, job in enumerate(SHAPE.jobs)
        for at in range(len(SHAPE.targets(*job)))
    ]


@pytest.fixture
def judged(records):
    return [one for one in records if one.target.name == "m1" and not one.attack.is_clean]


def test_each_source_and_all_together_are_as_record_by_record(judged):
    judgement = judgement_of(judged)
    assert list(judgement.packed) == list(dict.fromkeys(model_of(one.source) for one in judged))
    images, every = worst(judged, robust)
    assert judgement.images.tolist() == images.tolist() == list(range(135))
    assert judgement.robust().tolist() == every.tolist()
    assert 0 < every.sum() < len(every)
    for source in judgement.packed:
        own = [one for one in judged if model_of(one.source) == source]
        assert judgement.stands(source).tolist() == worst(own, stands)[1].tolist()
        assert judgement.robust(source).tolist() == worst(own, robust)[1].tolist()


def test_an_image_that_was_wrong_stands_and_is_not_robust(judged):
    wrong = [1, 2, 2] * 15
    clean = packed_columns(dataclasses.replace(free_record(SHAPE, 0, 0).columns, clean=wrong))["clean"]
    judgement = judgement_of([read(one, clean=clean) for one in judged])
    assert judgement.right.tolist() == [answer == 1 for answer in wrong] * 3
    for source in judgement.packed:
        both = judgement.stands(source) & judgement.right
        assert judgement.robust(source).tolist() == both.tolist()
        assert judgement.stands(source)[~judgement.right].any()


def test_what_does_not_fit_together_is_left_to_record_by_record(judged):
    assert judgement_of([]) is None
    assert judgement_of(judged[:-1])
    first, second = judged[:2]
    another = packed_columns(dataclasses.replace(first.columns, clean=[3] * 45))["clean"]
    assert judgement_of([read(first, clean=another), second]) is None
    random = dataclasses.replace(first, columns=dataclasses.replace(first.columns, stood=["10"] * 45))
    assert judgement_of([random]) is None
    one_shard = [one for one in judged if one.dataset.digest == "d0"]
    lone = next(one for one in judged if one.dataset.digest == "d1")
    assert judgement_of([*one_shard, lone]) is None  # its other sources did not attack that shard
    overlap = dataclasses.replace(lone, columns=dataclasses.replace(lone.columns, index=list(range(44, 89))))
    assert judgement_of([one_shard[0], overlap]) is None
    in_memory = [record("a", "a", "pgd", [R, B]), record("a", "a", "cw", [B, R])]
    assert judgement_of(in_memory) is None  # lists, which nobody shares
    assert judgement_of(in_memory[:1]).robust().tolist() == [True, False]


@pytest.mark.thorough
def test_no_table_shows_which_way_it_was(records, monkeypatch):
    renderers = (CSV(), JSON(), HTML())
    texts = [one.render(records) for one in renderers]
    monkeypatch.setattr(samples, "judgement_of", lambda records: None)
    assert texts == [one.render(records) for one in renderers]
    assert np.unique([one.columns.array("status") for one in records]).size > 1
