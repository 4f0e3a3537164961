"""Held-out parts and halves: disjoint, seeded, labelled, and with every class where that is possible."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from defenses.training.split import halves, joined, split
from robench.errors import InputError
from robench.randomness import seed_from
from tests.defenses.toys import toy


def test_halves_are_disjoint_and_differ_from_pass_to_pass():
    data = toy(41)
    one, other = halves(data, 1, 0)
    assert (len(one), len(other)) == (20, 21)
    assert torch.equal(torch.cat([one.indices, other.indices]).sort().values, data.indices)
    assert not torch.equal(one.indices, halves(data, 1, 1)[0].indices)
    for count in (0, 1):
        with pytest.raises(InputError, match="two halves"):
            halves(toy(41).subset(slice(0, count)), 1)


def with_labels(labels):
    labels = torch.tensor(labels)
    return replace(toy(len(labels)), labels=labels, classes=tuple("0123"))


@pytest.mark.parametrize("seed", range(20))
def test_a_class_with_two_images_is_in_both_halves_and_one_with_a_single_image_in_the_template(seed):
    data = with_labels([0, 0, 1, 2, 2, 0, 0, 0, 0, 0, 0, 0, 3, 3])
    training, template = halves(data, seed)
    assert set(training.labels.tolist()) == {0, 2, 3}
    assert set(template.labels.tolist()) == {0, 1, 2, 3}
    assert torch.equal(torch.cat([training.indices, template.indices]).sort().values, data.indices)


@pytest.mark.parametrize("seed", range(5))
def test_halves_of_a_thousand_images_are_purely_random_and_keep_ten_classes(seed):
    labels = torch.randint(0, 10, (1000,), generator=torch.Generator().manual_seed(0)).tolist()
    data = replace(with_labels(labels), classes=tuple("0123456789"))
    training, template = halves(data, seed)
    generator = torch.Generator().manual_seed(seed_from(seed, "halves"))
    order = torch.randperm(1000, generator=generator)
    assert torch.equal(training.indices, order[:500].sort().values)
    assert torch.equal(template.indices, order[500:].sort().values)
    assert len(set(training.labels.tolist())) == len(set(template.labels.tolist())) == 10


def test_more_classes_than_pairs_leave_nothing_to_learn_from():
    with pytest.raises(InputError, match="two halves"):
        halves(with_labels([0, 1, 2, 3]), 0)


def test_only_labelled_images_are_held_out():
    whole = toy(40)
    data = whole.withholding(torch.arange(10, 40))
    training_set, validation_set = split(data, 0.2, 1)
    assert len(validation_set) == 2
    assert bool((validation_set.labels >= 0).all())
    assert len(training_set.unlabelled()) == 30
    assert torch.equal(joined(training_set, validation_set).indices.sort().values, whole.indices)
    with pytest.raises(InputError, match="1 in all"):
        split(whole.withholding(torch.arange(1, 40)), 0.2, 1)


def test_the_held_out_part_of_labelled_data_is_the_one_it_always_was():
    generator = torch.Generator().manual_seed(seed_from(7, "validation"))
    order = torch.randperm(50, generator=generator)
    training_set, validation_set = split(toy(50), 0.1, 7)
    assert torch.equal(validation_set.indices, order[:5].sort().values)
    assert torch.equal(training_set.indices, order[5:].sort().values)
    assert split(toy(50), 0.0, 7)[1] is None


def test_joined_parts_are_rows_of_one_set():
    data = toy(12)
    both = joined(data.subset(slice(0, 5)), data.subset(slice(5, 12)))
    assert both.digest() == data.digest()
    assert joined(data, data.subset(slice(0, 0))) is data
