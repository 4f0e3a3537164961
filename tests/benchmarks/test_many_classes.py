"""A hundred classes out of ten: cells are the same each time, inside their class, and the nearest ones."""

import numpy as np
import torch

from benchmarks.many_classes import FineCells, features, rightly_classified
from robench.data.images import image_set
from robench.model.interface import Model


def pictures(count, *, classes=2, seed=0):
    """Return random pictures of which each class has a colour of its own."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % classes
    base = torch.randint(0, 120, (count, 3, 8, 8), generator=generator) + 60 * labels[:, None, None, None]
    return image_set(base.to(torch.uint8), labels, name="pictures", classes=classes)


def test_the_same_images_and_seed_give_the_same_cells():
    data = pictures(60)
    one, two = (FineCells.fitted(data, cells=3, seed=4) for _ in range(2))
    assert one.centres.shape == (2, 3, features(data).shape[1])
    assert np.array_equal(one.centres, two.centres)


def test_a_label_is_the_nearest_cell_of_the_own_class_only():
    train, test = pictures(60), pictures(20, seed=1)
    cells = FineCells.fitted(train, cells=3)
    fine = cells.divided(test)
    assert len(fine.classes) == 6
    assert torch.equal(fine.labels // 3, test.labels)
    assert torch.equal(fine.images, test.images)
    for vector, label, coarse in zip(features(test), fine.labels.tolist(), test.labels.tolist(), strict=True):
        distances = np.linalg.norm(cells.centres[coarse] - vector, axis=1)
        assert label == 3 * coarse + int(distances.argmin())


def test_only_images_that_are_right_are_attacked_the_first_ones_first():
    data = pictures(20)

    class Bright(torch.nn.Module):
        def forward(self, x):
            lead = x.mean(dim=(1, 2, 3)) - 0.4
            return torch.stack([-lead, lead], dim=1)

    x, y = data.batch(slice(None))
    net = Bright()
    right = (net(x).argmax(dim=1) == y).nonzero().flatten()
    model = Model(name="bright", net=net, classes=2)
    assert rightly_classified(model, data, 5).indices.tolist() == right[:5].tolist()
    assert len(rightly_classified(model, data, 20)) == len(right)
