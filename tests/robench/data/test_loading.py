"""Which images and which labels a training sees: first or balanced, labelled or not; no label leaks."""

from __future__ import annotations

import pytest
import torch

from robench.data.images import check_coverage, image_set
from robench.data.loading import load_data, select
from robench.errors import ConfigError, InputError
from robench.plan.config import from_dict
from robench.plan.spec import Choice, DataSpec, canonical, content_hash, to_json


def whole(count=120, classes=4):
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(0, classes, (count,), generator=generator)
    images = torch.rand(count, 1, 2, 2, generator=generator)
    return image_set(images, labels, split="train", classes=classes)


def test_the_first_images_and_labels():
    data = select(whole(), limit=50, subset="first", seed=0, labelled=20)
    assert data.indices.tolist() == list(range(50))
    assert torch.equal(data.labels[:20], whole().labels[:20])
    assert data.labels[20:].tolist() == [-1] * 30


def test_a_balanced_choice_of_labels_is_seeded_and_even():
    data = select(whole(), limit=None, subset="balanced", seed=3, labelled=22)
    with_labels = data.labelled()
    assert (len(data), len(with_labels)) == (120, 22)
    counts = torch.bincount(with_labels.labels)
    assert counts.max() - counts.min() == 1
    assert torch.equal(with_labels.labels, whole().labels[with_labels.indices])
    again = select(whole(), limit=None, subset="balanced", seed=3, labelled=22)
    other = select(whole(), limit=None, subset="balanced", seed=4, labelled=22)
    assert data.digest() == again.digest() != other.digest()
    both = select(whole(), limit=60, subset="balanced", seed=3, labelled=8)
    assert (len(both), torch.bincount(both.labelled().labels).tolist()) == (60, [2, 2, 2, 2])


def test_labelled_and_unlabelled_share_the_images_out():
    data = select(whole(), limit=50, subset="first", seed=0, labelled=20)
    parts = (data.labelled(), data.unlabelled())
    assert torch.cat([part.indices for part in parts]).tolist() == list(range(50))
    assert bool((parts[1].labels == -1).all())
    assert whole().labelled().digest() == whole().digest()
    assert len(whole().unlabelled()) == 0


def test_the_truth_behind_a_withheld_label_changes_nothing():
    one, other = whole(), whole()
    other.labels[20:] = (other.labels[20:] + 1) % 4
    assert one.digest() != other.digest()
    digests = [select(d, limit=50, subset="first", seed=0, labelled=20).digest() for d in (one, other)]
    assert digests[0] == digests[1]


def test_more_labels_than_images_are_refused():
    with pytest.raises(InputError, match="number of labelled images from 1 to 50"):
        select(whole(), limit=50, subset="first", seed=0, labelled=51)
    with pytest.raises(InputError, match="limit from 1 to 120"):
        select(whole(), limit=121, subset="first", seed=0)
    with pytest.raises(InputError, match="images of class"):
        select(whole(), limit=None, subset="balanced", seed=0, labelled=118)


def test_coverage_names_the_missing_classes_and_passes_over_unknown_labels():
    check_coverage(whole(), where="here")
    data = whole()
    few = data.withholding((data.labels % 2 == 1).nonzero().squeeze(1))
    with pytest.raises(InputError, match=r"here: .* all 4 classes, got none of class 1, 3"):
        check_coverage(few, where="here")
    with pytest.raises(InputError, match="none of class 0, 1, 2, 3"):
        check_coverage(data.unlabelled(), where="here")


def test_a_loaded_data_set_comes_without_the_other_labels():
    spec = DataSpec(dataset=Choice(name="digits"), split="train", limit=100, labelled=30)
    data = load_data(spec, root=None, download=False, seed=0)
    assert (len(data), len(data.labelled())) == (100, 30)


def test_keys_made_before_there_were_withheld_labels_stay():
    spec = DataSpec(dataset=Choice(name="digits"), split="train", limit=1000)
    text = '{"dataset":{"name":"digits","options":{}},"limit":1000,"split":"train","subset":"first"}'
    assert canonical(spec) == text
    assert content_hash(spec) == "fd0bccfc557c588f1c5656b219354425"
    assert to_json(DataSpec(dataset=Choice(name="digits"), labelled=5))["labelled"] == 5


def plan(train, data=None):
    return {
        "dataset": {"name": "digits", **(data or {})},
        "models": [
            {
                "name": "a",
                "architecture": "digits_cnn",
                "train": {"defense": {"natural": {"epochs": 1}}, "data": train},
            }
        ],
    }


def test_the_grammar_reads_labelled_below_training_data_only():
    entry = from_dict(plan({"limit": 500, "labelled": 100, "subset": "balanced"})).models[0].train.data
    assert (entry.limit, entry.labelled, entry.subset) == (500, 100, "balanced")
    assert from_dict(plan({"labelled": 100})).models[0].train.data.labelled == 100
    assert from_dict(plan({"limit": 9})).models[0].train.data.labelled is None
    for train, data, words in (
        ({"limit": 50, "labelled": 51}, None, "at most the limit, 50"),
        ({"labelled": 0}, None, "at least 1"),
        ({"labelled": "all"}, None, "whole number"),
        ({}, {"labelled": 5}, "below `train: data:`"),
    ):
        with pytest.raises(ConfigError, match=words):
            from_dict(plan(train, data))


def at(*indices, **rest):
    spec = DataSpec(dataset=Choice(name="digits"), indices=indices, **rest)
    return load_data(spec, root=None, download=False, seed=0)


def test_selection_indices_keep_their_order_and_identity():
    everything = load_data(DataSpec(dataset=Choice(name="digits")), root=None, download=False, seed=0)
    data = at(17, 3, 444)
    assert data.indices.tolist() == [17, 3, 444]
    assert torch.equal(data.images, everything.images[[17, 3, 444]])
    assert torch.equal(data.labels, everything.labels[[17, 3, 444]])
    assert at(17, 3, 444, limit=2).indices.tolist() == [17, 3]
    with pytest.raises(InputError, match="limit from 1 to 3"):
        at(17, 3, 444, limit=4)


@pytest.mark.parametrize("indices", [(445,), (0, -1), ()])
def test_indices_outside_the_split_are_refused(indices):
    with pytest.raises(InputError, match="indices from 0 to 444"):
        at(*indices)


@pytest.mark.parametrize("written", [[], "7", [1, 1], [-1], [1.0], [True], ["1"], {"a": 1}])
def test_what_is_no_list_of_different_indices_is_refused(written):
    data = {"name": "digits", "indices": written}
    plan = {"schema": 1, "dataset": data, "models": [{"name": "a", "architecture": "digits_cnn"}]}
    with pytest.raises(ConfigError, match="indices"):
        from_dict(plan)


def test_a_plan_without_indices_has_the_key_it_always_had():
    spec = DataSpec(dataset=Choice(name="digits"), limit=5)
    assert "indices" not in to_json(spec)
    with_indices = DataSpec(dataset=Choice(name="digits"), limit=5, indices=(1, 2))
    assert to_json(with_indices)["indices"] == [1, 2]
    assert content_hash(spec) != content_hash(with_indices)


def test_training_data_do_not_inherit_the_indices_of_the_evaluation():
    model = {"name": "a", "architecture": "digits_cnn", "train": {"defense": "natural"}}
    plan = from_dict({"schema": 1, "dataset": {"name": "digits", "indices": [5, 2]}, "models": [model]})
    assert plan.data.indices == (5, 2)
    assert plan.models[0].train.data.indices is None


def ordered(labels, classes):
    return image_set(torch.rand(len(labels), 1, 1, 1), labels, split="test", classes=classes)


@pytest.mark.parametrize(
    ("per_class", "classes", "count"), [(60, 4, 60), (60, 4, 200), (50, 2, 50), (10, 50, 200), (2, 100, 120)]
)
def test_the_first_images_of_a_sorted_split_are_refused(per_class, classes, count):
    data = ordered(torch.arange(classes).repeat_interleave(per_class), classes)
    assert len(select(data, limit=len(data) - 1, subset="first", seed=0)) == len(data) - 1  # a fair part
    with pytest.raises(InputError, match="a fair part") as refusal:
        select(data, limit=count, subset="first", seed=0)
    assert f"the first {count} of {len(data)}" in str(refusal.value)
    assert "random" in refusal.value.do
    for subset in ("balanced", "random"):
        selection = select(data, limit=count, subset=subset, seed=0)
        assert len(selection) == count
        assert select(data, limit=count, subset=subset, seed=0).digest() == selection.digest()


@pytest.mark.parametrize("classes", [2, 10, 100])
@pytest.mark.parametrize("count", [1, 10, 50, 199])
def test_the_first_images_of_a_mixed_split_are_not(classes, count):
    for seed in range(20):
        order = torch.randperm(200, generator=torch.Generator().manual_seed(seed))
        data = ordered((torch.arange(200) % classes)[order], classes)
        assert select(data, limit=count, subset="first", seed=0).indices.tolist() == list(range(count))


def test_a_rare_class_that_comes_first_by_chance_is_no_reason():
    labels = torch.zeros(500, dtype=torch.int64)
    labels[:2] = torch.tensor([1, 2])
    assert len(select(ordered(labels, 3), limit=20, subset="first", seed=0)) == 20


def test_a_random_choice_is_seeded_and_as_often_of_each_image():
    data = ordered(torch.arange(40) % 4, 4)
    counts = torch.zeros(40)
    for seed in range(400):
        selection = select(data, limit=10, subset="random", seed=seed).indices
        assert len(set(selection.tolist())) == 10
        assert (selection[1:] > selection[:-1]).all()
        counts[selection] += 1
    # Each image is taken with probability a quarter: 100 of 400 times, with a deviation of 8.7.
    assert counts.min() > 60
    assert counts.max() < 140
