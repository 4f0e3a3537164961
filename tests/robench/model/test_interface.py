"""Batches of a model: halved where memory runs out, but never those of a joint model."""

import pytest
from torch import nn

from robench.errors import JobError
from robench.model.interface import Coupling, Model


def scarce(sizes, most):
    """Return a work that notes the sizes it is tried with, and has memory for `most` images at once."""

    def work(size):
        sizes.append(size)
        if size > most:
            raise MemoryError
        return size

    return work


@pytest.mark.thorough
def test_independent_images_are_halved_until_they_fit():
    sizes = []
    batches = Model(name="m", net=nn.Flatten(), classes=2).fitting_batches(20)
    assert batches.do(scarce(sizes, 3), most=12) == 3
    assert (sizes, batches.smallest) == ([12, 6, 3], 3)


@pytest.mark.thorough
def test_a_joint_batch_is_tried_once_and_the_message_says_how_large_it_is():
    sizes = []
    model = Model(name="m", net=nn.Flatten(), classes=2, coupling=Coupling.JOINT)
    with pytest.raises(JobError, match=r"'m'.*a joint batch of 20 images, which cannot be split"):
        model.fitting_batches(20).do(scarce(sizes, 3), most=12)
    assert sizes == [12]
