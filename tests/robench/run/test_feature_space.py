"""Features and neighbours by hand: an image of two pixels is its own feature."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from robench.attack.norms import norm_named
from robench.attack.threat import ThreatModel
from robench.data.images import image_set
from robench.errors import InputError
from robench.model.batch_identity import current_batch
from robench.model.interface import Coupling, Memory, Model, Neighbourhood, OutputKind
from robench.record.schema import Columns
from robench.run.feature_space import EACH, Part, cloud_of, nearest_of, nearest_rows
from robench.run.shards import Shard
from tests.records import record_of

THREAT = ThreatModel(norm=norm_named("Linf"), eps=0.1)


def record(labels, clean, adversarial, status):
    n = len(labels)
    columns = Columns(
        index=list(range(n)), label=labels, clean=clean, adversarial=adversarial, status=status,
        linf=[0.1] * n, l2=[0.1] * n, forwards=[0] * n, backwards=[0] * n, first_success=[0] * n,
    )  # fmt: skip
    side = {"name": "m", "fingerprint": "f"}
    return record_of(key="k", target=side, source=side, attack={"label": "x"}, threat={},
                     dataset={"name": "d", "split": "test"}, seed=0, columns=columns, findings=(),
                     provenance={})  # fmt: skip


def part(x, x_adv, labels, adversarial=None, status=None):
    images = torch.tensor(x).view(-1, 1, 1, 2)
    data = image_set(images, torch.tensor(labels), classes=3)
    (shard,) = Shard.split(data, len(x))
    own = record(labels, labels, adversarial or labels, status or ["robust"] * len(x))
    return Part(shard=shard, record=own, x_adv=lambda: torch.tensor(x_adv).view(-1, 1, 1, 2))


def plain(features=lambda x: x.flatten(1)):
    return Model(name="m", net=torch.nn.Flatten(), classes=3, features=features)


def test_nearest_first_and_ties_by_row():
    points = torch.tensor([[3.0, 0], [0, 1], [1, 0], [0, -1], [0, 0], [-1, 0]])
    ids, distances = nearest_rows(points, torch.tensor([[0.0, 0], [3, 0]]), 5)
    assert ids.tolist() == [[4, 1, 2, 3, 5], [0, 2, 4, 1, 3]]
    assert distances[0].tolist() == [0, 1, 1, 1, 1]
    assert distances[1].tolist() == pytest.approx([0, 2, 3, 10**0.5, 10**0.5], abs=1e-12)
    assert nearest_rows(points[:2], torch.zeros(1, 2), 5)[0].tolist() == [[1, 0]]  # fewer than asked for


def test_neighbours_far_from_the_origin_keep_their_order():
    # |a - b|^2 from products loses all digits here; from differences in float64 it does not.
    points = torch.tensor([[1e4 + 3e-2], [1e4 + 1e-2], [1e4 + 2e-2]])
    ids, _ = nearest_rows(points, torch.tensor([[1e4]]), 3)
    assert ids.tolist() == [[1, 2, 0]]


def test_a_cloud_is_where_clean_images_and_judged_points_lie():
    labels = [0, 1, 2, 1]
    sample = part([[0.1, 0.2], [0.5, 0.5], [0.9, 0.9], [0.3, 0.4]],
                 [[0.15, 0.2], [0.5, 0.9], [0.9, 0.9], [0.2, 0.4]], labels, [1, 1, 2, 0])  # fmt: skip
    cloud = cloud_of(plain(), [sample], THREAT, (0, 1), "by hand", room=10**6, batch=2)
    assert cloud.index.tolist() == [0, 1, 3]
    assert (cloud.label.tolist(), cloud.adversarial.tolist()) == ([0, 1, 1], [1, 1, 0])
    assert cloud.clean_features == pytest.approx(np.array([[0.1, 0.2], [0.5, 0.5], [0.3, 0.4]]))
    # The second proposal left the ball: the judge, and so the picture, put it back to its edge.
    assert cloud.adversarial_features == pytest.approx(
        np.array([[0.15, 0.2], [0.5, 0.6], [0.2, 0.4]]), abs=1e-6
    )


def test_a_cloud_keeps_to_its_room():
    many = part([[0.5, 0.5]] * 300, [[0.5, 0.5]] * 300, [0, 1] * 150)
    cloud = cloud_of(plain(), [many], THREAT, (0, 1), "", room=10**6, batch=64)
    assert np.bincount(cloud.label).tolist() == [EACH, EACH]
    small = cloud_of(plain(), [many], THREAT, (0, 1), "", room=1000, batch=64)
    assert small.clean_features.nbytes + small.adversarial_features.nbytes <= 1000
    assert len(set(np.bincount(small.label).tolist())) == 1
    with pytest.raises(InputError, match="too many to keep"):
        cloud_of(plain(), [many], THREAT, (0, 1), "", room=10, batch=64)
    with pytest.raises(InputError, match="no image of one"):
        cloud_of(plain(), [many], THREAT, (0, 2), "", room=1000, batch=64)


def graph(points, labels, *, keys=None):
    memory = Memory(
        images=torch.linspace(0, 1, 2 * len(points)).view(-1, 1, 1, 2),
        points=torch.tensor(points),
        labels=torch.tensor(labels),
    )

    def give():
        if keys is not None:
            keys.append(current_batch().key)
        return memory

    around = Neighbourhood(
        features=lambda x: x.flatten(1), classify=lambda z, template: z, density=lambda z, tau: z,
        linear=None, memory=give, reach=2,
    )  # fmt: skip
    return Model(name="m", net=torch.nn.Flatten(), classes=3, output=OutputKind.SIMPLEX,
                 coupling=Coupling.JOINT, neighbourhood=around), memory  # fmt: skip


def test_neighbours_before_and_after_by_hand():
    model, memory = graph([[0.0, 0.0], [0.2, 0.0], [0.9, 0.9], [1.0, 1.0]], [0, 0, 1, 1])
    sample = part([[0.1, 0.0], [0.5, 0.5], [0.95, 1.0]], [[0.0, 0.0], [0.6, 0.6], [0.95, 1.0]],
                 [0, 0, 1], [0, 1, 1], ["robust", "broken", "robust"])  # fmt: skip
    nearest = nearest_of(model, [sample], THREAT, room=10**6)
    # One that fell, and the first that stood.
    assert nearest.index.tolist() == [1, 0]
    assert nearest.adversarial.tolist() == [1, 0]
    assert nearest.ids[0].tolist() == [[2, 1, 0, 3], [2, 3, 1, 0]]
    assert nearest.ids[1].tolist() == [[0, 1, 2, 3], [0, 1, 2, 3]]  # 0 and 1 are equally near at first
    assert nearest.labels[0].tolist() == [[1, 0, 0, 1], [1, 1, 0, 0]]
    assert nearest.distances[0, 1] == pytest.approx([0.18**0.5, 0.32**0.5, 0.52**0.5, 0.72**0.5], abs=1e-6)
    shown_images = np.rint(memory.images.numpy() * 255)
    for row, picture in zip(nearest.ids.ravel(), nearest.picture.ravel(), strict=True):
        assert (nearest.pictures[picture] == shown_images[row]).all()
    assert len(nearest.pictures) == 4  # each once
    assert nearest.queries[0, :, 0, 0].tolist() == [[128, 128], [153, 153]]
    assert nearest.template == 4


def test_each_shard_is_searched_in_its_own_batch():
    keys = []
    model, _ = graph([[0.0, 0.0], [1.0, 1.0]], [0, 1], keys=keys)
    one = part([[0.1, 0.0]], [[0.1, 0.0]], [0], [1], ["broken"])
    two = part([[0.9, 1.0], [0.8, 0.8]], [[0.9, 1.0], [0.8, 0.8]], [1, 1], [0, 0], ["broken", "broken"])
    nearest = nearest_of(model, [one, two], THREAT, room=10**6)
    assert len(keys) == len(set(keys)) == 2
    assert len(nearest.pictures) == 4  # the same row of another shard's template may be another image
    assert nearest.ids[:, 0, 0].tolist() == [0, 1, 1]


def test_large_pictures_are_reduced_to_their_room():
    model, _ = graph([[0.0], [1.0]], [0, 1])
    images = torch.rand(6, 3, 200, 100, generator=torch.Generator().manual_seed(0))
    around = model.neighbourhood
    memory = Memory(images=images, points=torch.zeros(6, 1), labels=torch.zeros(6, dtype=torch.int64))
    view = replace(around, features=lambda x: x.flatten(1)[:, :1], memory=lambda: memory)
    model = replace(model, neighbourhood=view)
    (shard,) = Shard.split(image_set(images[:2], torch.tensor([0, 1])), 2)
    own = record([0, 1], [0, 1], [1, 0], ["broken", "broken"])
    sample = Part(shard=shard, record=own, x_adv=lambda: images[:2])
    for room in (20_000, 200_000, 10**6):
        nearest = nearest_of(model, [sample], THREAT, room=room)
        assert nearest.queries.nbytes + nearest.pictures.nbytes <= room
        assert max(nearest.queries.shape[3:]) <= 96
        assert nearest.queries.shape[3] == pytest.approx(2 * nearest.queries.shape[4], abs=1)


def test_an_image_without_finite_features_has_no_neighbours():
    model, _ = graph([[0.0, 0.0], [1.0, 1.0]], [0, 1])
    nan = replace(model.neighbourhood, features=lambda x: x.flatten(1) * torch.nan)
    sample = part([[0.1, 0.0]], [[0.1, 0.0]], [0], [1], ["broken"])
    assert nearest_of(replace(model, neighbourhood=nan), [sample], THREAT, room=10**6) is None
    assert nearest_of(model, [part([[0.1, 0.0]], [[0.1, 0.0]], [0], [1], ["misclassified"])], THREAT,
                      room=10**6) is None  # fmt: skip
