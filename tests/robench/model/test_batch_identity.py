"""Which batch is at hand: a key of the images' indices, and a memory that ends with the batch."""

import pytest
import torch

from robench.model.batch_identity import batch_of, current_batch


def test_the_key_depends_on_the_indices_and_their_order():
    keys = []
    for indices in ([0, 1], [0, 1], [1, 0], [0], [0, 1, 2]):
        with batch_of(torch.tensor(indices)) as batch:
            assert current_batch() is batch
            keys.append(batch.key)
    assert keys[0] == keys[1]
    assert len(set(keys)) == 4
    assert current_batch() is None


def test_batches_nest_and_end_even_by_an_error():
    with batch_of(torch.tensor([1])) as outer:
        with pytest.raises(RuntimeError, match="inside"), batch_of(torch.tensor([2])):
            raise RuntimeError("inside")
        assert current_batch() is outer
    assert current_batch() is None


def test_each_owner_makes_its_own_once_for_each_batch():
    numbers = []

    def make():
        numbers.append(len(numbers))
        return numbers[-1]

    one, two = object(), object()
    for first in (0, 2):
        with batch_of(torch.tensor([1])) as batch:
            assert [batch.once(one, make), batch.once(two, make)] == [first, first + 1]
            assert [batch.once(one, make), batch.once(two, make)] == [first, first + 1]
    assert numbers == [0, 1, 2, 3]
