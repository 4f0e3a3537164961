"""Shards are equal where a model is joint, and what they were where none is."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from robench.api import benchmark, make_attack
from robench.data.images import image_set
from robench.model.interface import Coupling, Model
from robench.run.shards import Shard, slices
from tests.robench.judge import gallery


def sizes(count, size, *, even):
    return [piece.stop - piece.start for piece in slices(count, size, even=even)]


def test_sizes_by_hand():
    assert sizes(1000, 500, even=True) == [500, 500]
    assert sizes(1200, 500, even=True) == [400, 400, 400]
    assert sizes(1001, 500, even=True) == [334, 334, 333]
    assert sizes(200, 500, even=True) == [200]
    assert sizes(0, 500, even=True) == []
    assert sizes(1200, 500, even=False) == [500, 500, 200]


@given(st.integers(0, 3000), st.integers(1, 700))
def test_they_are_as_few_and_as_equal_as_can_be(count, size):
    parts = slices(count, size, even=True)
    assert [i for piece in parts for i in range(piece.start, piece.stop)] == list(range(count))
    assert len(parts) == -(-count // size) == len(slices(count, size))
    lengths = [piece.stop - piece.start for piece in parts]
    assert max(lengths, default=0) - min(lengths, default=0) <= 1
    assert max(lengths, default=0) <= size


def test_digests_without_a_joint_model_are_those_of_full_shards():
    data = gallery.data(50)
    by_hand = [data.subset(slice(start, start + 20)).indices.tolist() for start in (0, 20, 40)]
    assert [s.data.indices.tolist() for s in Shard.split(data, 20)] == by_hand
    assert [s.digest for s in Shard.split(data, 25, even=True)] == [s.digest for s in Shard.split(data, 25)]


def model(name, coupling=Coupling.INDEPENDENT):
    net = gallery.sound()
    if coupling is Coupling.JOINT:
        net = gallery.Through(net, lambda z: z - z.mean(dim=0))
    return Model(name=name, net=net, classes=4, coupling=coupling)


def collect(*models, count=50, shard=20):
    attacks = {"pgd": make_attack("pgd", steps=5)}
    data = gallery.data(count)
    result = benchmark(models, data, attacks=attacks, norm="Linf", eps=0.05, shard=shard, transfer=False)
    assert result.failures == ()
    return result.records


@pytest.mark.thorough
def test_a_joint_model_sees_equal_graphs_and_its_records_say_what_was_asked():
    records = collect(model("joint", Coupling.JOINT), model("alone"))
    joint = [r for r in records if r.target.name == "joint" and r.attack.label == "clean"]
    assert [len(r.columns.index) for r in joint] == [17, 17, 16]
    assert {r.provenance.shard for r in joint} == {20}
    assert all(r.provenance.shard is None for r in records if r.target.name == "alone")


@pytest.mark.thorough
def test_an_independent_model_is_judged_alike_beside_a_joint_one():
    def verdicts(records):
        return {
            (r.attack.label, index): (status, clean, linf)
            for r in records
            if r.target.name == "alone"
            for index, status, clean, linf in zip(
                r.columns.index, r.columns.status, r.columns.clean, r.columns.linf, strict=True
            )
        }

    beside, alone = (
        collect(model("alone"), model("joint", Coupling.JOINT)),
        collect(model("alone")),
    )
    assert verdicts(beside).keys() == verdicts(alone).keys()
    for place, (status, clean, linf) in verdicts(alone).items():
        verdict = verdicts(beside)[place]
        assert verdict[:2] == (status, clean)
        assert verdict[2] == pytest.approx(linf, abs=1e-6)


def test_no_image_is_lost_in_one_shard_of_all():
    (shard,) = Shard.split(
        image_set(torch.rand(7, 1, 4, 4), torch.zeros(7, dtype=torch.int64)), 500, even=True
    )
    assert len(shard.data) == 7


@pytest.mark.thorough
def test_keys_without_a_joint_model_do_not_depend_on_the_rule():
    """The pieces are those of full shards, so the digests in the keys are what they were."""
    data = gallery.data(50)
    digests = {r.dataset.digest for r in collect(model("alone"))}
    assert digests == {shard.digest for shard in Shard.split(data, 20)}
    assert len(digests) == 3
