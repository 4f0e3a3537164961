"""What is kept of feature space comes back as it was, and a damaged file is refused by name."""

from dataclasses import fields, replace

import numpy as np
import pytest
from safetensors.numpy import save_file

from robench.errors import StorageError
from robench.record.feature_snapshot import Cloud, FeatureSnapshot, Nearest, read_snapshot, write_snapshot


def made(rng=None, *, images=6, width=5, side=4):
    rng = rng or np.random.default_rng(0)
    labels = np.arange(images) % 2
    cloud = Cloud(
        classes=(0, 1),
        choice="chosen by hand",
        index=np.arange(images),
        label=labels,
        clean=labels,
        adversarial=1 - labels,
        clean_features=rng.normal(size=(images, width)).astype(np.float32),
        adversarial_features=rng.normal(size=(images, width)).astype(np.float32),
    )
    nearest = Nearest(
        template=9,
        index=np.array([3, 5]),
        label=np.array([1, 0]),
        clean=np.array([1, 0]),
        adversarial=np.array([0, 0]),
        queries=rng.integers(0, 256, (2, 2, 1, side, side), dtype=np.uint8),
        ids=rng.integers(0, 9, (2, 2, 3)),
        labels=np.array([[[1, 1, 0], [0, 0, 2]], [[0, 0, 0], [0, 1, 0]]]),
        distances=np.sort(rng.random((2, 2, 3)), axis=2),
        picture=rng.integers(0, 4, (2, 2, 3)),
        pictures=rng.integers(0, 256, (4, 1, side, side), dtype=np.uint8),
    )
    return FeatureSnapshot(units=("first", "second"), cloud=cloud, nearest=nearest)


def same(one, other):
    if isinstance(one, np.ndarray):
        return one.dtype == other.dtype and np.array_equal(one, other)
    if isinstance(one, Cloud | Nearest | FeatureSnapshot):
        return all(same(getattr(one, f.name), getattr(other, f.name)) for f in fields(one))
    return one == other


@pytest.mark.parametrize("part", ["both", "cloud", "reason"])
def test_round_trip(tmp_path, part):
    whole = made()
    if part == "cloud":
        whole = replace(whole, nearest=None)
    if part == "reason":
        whole = FeatureSnapshot(units=("<u>",), reason="a network without any nn.Linear \x1b")
    write_snapshot(tmp_path / "g.safetensors", whole)
    assert same(read_snapshot(tmp_path / "g.safetensors"), whole)


@pytest.mark.parametrize("keep", [0, 1, 7, 100, 0.5, 0.99])
def test_a_half_written_file_is_refused_by_name(tmp_path, keep):
    path = tmp_path / "g.safetensors"
    write_snapshot(path, made())
    content = path.read_bytes()
    path.write_bytes(content[: int(keep * len(content)) if isinstance(keep, float) else keep])
    with pytest.raises(StorageError, match=r"g\.safetensors: expected features that `robench run` kept"):
        read_snapshot(path)


def broken(change):
    whole = made()
    return {
        "length": replace(whole, cloud=replace(whole.cloud, label=whole.cloud.label[:-1])),
        "type": replace(whole, cloud=replace(whole.cloud, clean_features=np.zeros((6, 5)))),
        "width": replace(whole, cloud=replace(whole.cloud, clean_features=np.zeros((6, 4), np.float32))),
        "picture": replace(whole, nearest=replace(whole.nearest, picture=whole.nearest.picture + 4)),
        "negative": replace(whole, nearest=replace(whole.nearest, picture=whole.nearest.picture - 9)),
        "units": replace(whole, units=()),
    }[change]


@pytest.mark.parametrize("change", ["length", "type", "width", "picture", "negative", "units"])
def test_parts_that_do_not_fit_together_are_refused(tmp_path, change):
    write_snapshot(tmp_path / "g.safetensors", broken(change))
    with pytest.raises(StorageError, match="expected features"):
        read_snapshot(tmp_path / "g.safetensors")


@pytest.mark.parametrize("text", ["{", "[]", '{"version": 99}', None])
def test_a_foreign_file_is_refused(tmp_path, text):
    path = tmp_path / "g.safetensors"
    save_file({"x": np.zeros(2)}, path, metadata=None if text is None else {"geometry": text})
    with pytest.raises(StorageError, match="expected features"):
        read_snapshot(path)
    with pytest.raises(StorageError, match="expected features"):
        read_snapshot(tmp_path / "absent.safetensors")
