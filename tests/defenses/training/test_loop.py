"""The shared loop: what it learns, holds out, repeats, refuses and leaves untouched."""

from __future__ import annotations

import copy
import os
import random
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from defenses.natural import Natural
from defenses.training.split import split
from defenses.training.training_state import TrainingState, load_state, save_state
from robench.data.images import crop_flip, image_set
from robench.errors import CheckpointError, ConfigError, InputError, JobError, StorageError
from robench.model.defense import Defense, TrainingContext
from robench.randomness import Randomness


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def digits():
    from sklearn.datasets import load_digits

    bunch = load_digits()
    images = torch.tensor(bunch.images / 16 * 255).to(torch.uint8)[:, None]
    return image_set(images, torch.tensor(bunch.target), name="digits", split="train")


@pytest.fixture(scope="module")
def few(digits):
    """Images for tests where little is learned."""
    return digits.subset(slice(0, 600))


def network(seed=0, dropout=0.1):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        layers = [nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.ReLU()]
        return nn.Sequential(*layers, nn.Flatten(), nn.Dropout(dropout), nn.Linear(288, 10))


def context(state=None, seed=1, identity=None, progress=None):
    return TrainingContext(
        seed=seed, device="cpu", state=state, identity=identity or {}, progress=progress or (lambda row: None)
    )


def same(one, other):
    weights = other.state_dict()
    return all(torch.equal(tensor, weights[name]) for name, tensor in one.state_dict().items())


class StoppedError(Exception):
    """Stands for a kill."""


def stopper(*, epoch, step=None):
    def progress(row):
        if row["epoch"] == epoch and row.get("step") == step:
            raise StoppedError

    return progress


@pytest.mark.thorough
def test_natural_training_learns_digits(digits):
    net, rows = network(), []
    defense = Natural(epochs=6, validation=0.1, schedule="cosine")
    assert isinstance(defense, Defense)
    history = defense(net, digits, context=context(progress=rows.append))
    assert history[-1]["validation_accuracy"] > 0.95
    assert [row for row in rows if "step" not in row] == history
    assert {
        "epoch", "loss", "learning_rate", "train_accuracy", "validation_accuracy", "validation_images",
        "best", "seconds",
    } == set(history[0])  # fmt: skip
    steps = [row for row in rows if "step" in row]
    assert set(steps[0]) == {"epoch", "step", "steps", "loss"}
    assert steps[-1]["step"] == steps[-1]["steps"]


def test_the_same_seed_gives_the_same_bits_and_another_seed_other_ones(few):
    nets = [network() for _ in range(3)]
    for net, seed in zip(nets, (1, 1, 2), strict=True):
        Natural(epochs=1, augmentation="crop_flip")(net, few, context=context(seed=seed))
    assert same(nets[0], nets[1])
    assert not same(nets[0], nets[2])


def test_global_randomness_is_neither_used_nor_moved(few):
    states = torch.get_rng_state(), np.random.get_state(), random.getstate()
    one, other = network(), network()
    Natural(epochs=1)(one, few, context=context())
    assert torch.equal(states[0], torch.get_rng_state())
    assert np.array_equal(states[1][1], np.random.get_state()[1])
    assert states[2] == random.getstate()
    with torch.random.fork_rng():
        torch.manual_seed(99)
        Natural(epochs=1)(other, few, context=context(progress=lambda row: torch.rand(1)))
    assert same(one, other)


def resumable(keep):
    """A training with 12 steps per epoch on the few images."""
    return Natural(epochs=4, keep=keep, augmentation="crop_flip", batch_size=48)


@pytest.fixture(scope="module")
def uninterrupted(few):
    """The network and history of that training, for both ways to choose the weights."""
    nets = {keep: network() for keep in ("best", "last")}
    return {keep: (net, resumable(keep)(net, few, context=context())) for keep, net in nets.items()}


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("stop", "kept"),
    [({"epoch": 2}, 2), ({"epoch": 3, "step": 10}, 2), ({"epoch": 1, "step": 10}, None), ({"epoch": 4}, 4)],
)
@pytest.mark.parametrize("keep", ["best", "last"])
def test_a_stopped_run_resumes_to_the_same_bits(few, uninterrupted, tmp_path, stop, kept, keep):
    defense, (whole, expected) = resumable(keep), uninterrupted[keep]
    second, path = network(seed=5), tmp_path / "folder" / "state"
    with pytest.raises(StoppedError):
        defense(network(), few, context=context(path, progress=stopper(**stop)))
    assert path.exists() == (kept is not None)
    if kept is None:
        second = network()
    rows = []
    history = defense(second, few, context=context(path, progress=rows.append))
    assert same(whole, second)
    assert [row["epoch"] for row in rows if "step" not in row] == list(range((kept or 0) + 1, 5))
    assert [{**row, "seconds": 0} for row in history] == [{**row, "seconds": 0} for row in expected]
    assert [file.name for file in path.parent.iterdir()] == ["state"]


def test_a_state_of_another_training_is_refused_with_the_difference(few, tmp_path):
    path, defense = tmp_path / "state", Natural(epochs=1)
    defense(network(), few, context=context(path, identity={"model": "a"}))
    with pytest.raises(ConfigError, match=r'identity\.model \("b" here, "a" in the file\)'):
        defense(network(), few, context=context(path, identity={"model": "b"}))
    with pytest.raises(ConfigError, match=r"defense\.learning_rate \(0\.01 here, 0\.05 in the file\)"):
        replace(defense, learning_rate=0.01)(network(), few, context=context(path, identity={"model": "a"}))
    with pytest.raises(ConfigError, match=r"seed \(2 here, 1 in the file\)"):
        defense(network(), few, context=context(path, seed=2, identity={"model": "a"}))
    part = few.subset(slice(0, 500))
    with pytest.raises(ConfigError, match=r"data\.images"):
        defense(network(), part, context=context(path, identity={"model": "a"}))


def test_a_damaged_state_and_a_full_disk_are_explained(few, tmp_path, monkeypatch):
    path, defense = tmp_path / "state", Natural(epochs=1)
    defense(network(), few, context=context(path))
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(CheckpointError, match="Delete it"):
        defense(network(), few, context=context(path))

    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    path.unlink()
    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(StorageError, match="No space left"):
        defense(network(), few, context=context(path))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.name != "posix", reason="needs a limit on the size of files")
def test_a_state_that_the_system_refuses_half_way_leaves_the_older_one(few, tmp_path):
    import resource

    path = tmp_path / "state"
    state = TrainingState(identity={}, epoch=1, network={"w": torch.zeros(100)}, optimizer={})
    save_state(path, state)
    state.epoch, state.network = 2, {"w": torch.zeros(100_000)}
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, limits[1]))
        with pytest.raises(StorageError) as error:
            save_state(path, state)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert error.value.exit_code == 4
    assert error.value.got == "File too large"
    assert load_state(path, {}).epoch == 1
    assert [file.name for file in tmp_path.iterdir()] == ["state"]


# A rate so high that the accuracy falls again after the second epoch.
UNSTABLE = Natural(epochs=3, schedule="constant", learning_rate=0.2, momentum=0.95)


@pytest.fixture(scope="module")
def unstable(few, tmp_path_factory):
    """The network, history, last weights and lines of the history's file, counted after every report."""
    path, net, last, lines = tmp_path_factory.mktemp("unstable") / "history.csv", network(), {}, []

    def progress(row):
        if "step" not in row:
            lines.append(len(path.read_text().splitlines()))

    history = UNSTABLE(net, few, context=replace(context(progress=progress), history=path, last=last.update))
    return net, history, last, lines


def test_the_history_is_written_after_every_epoch_and_the_last_weights_are_handed_over(few, unstable):
    net, history, last, lines = unstable
    assert lines == [2, 3, 4]
    assert all(row["best"] in (0.0, 1.0) for row in history)
    other = network()
    replace(UNSTABLE, keep="last")(other, few, context=context())
    assert all(torch.equal(tensor, last[name]) for name, tensor in other.state_dict().items())
    assert same(net, other) == (history[-1]["best"] == 1.0)


def test_a_loss_that_is_no_number_names_epoch_step_and_images(digits):
    images = digits.images.float() / 255
    images[7] = float("nan")
    bad_data = replace(digits, images=images)
    net = network().eval()
    with pytest.raises(
        JobError, match=r"epoch 1, step \d+: expected a finite training loss, got nan on images"
    ) as e:
        Natural(epochs=1, validation=0, keep="last", batch_size=2000)(net, bad_data, context=context())
    assert e.value.do
    assert not any(part.training for part in net.modules())


def test_the_held_out_part_is_never_learned_from(digits):
    training_set, validation_set = split(digits, 0.1, seed=3)
    assert len(validation_set) == 180
    both = torch.cat([training_set.indices, validation_set.indices]).sort().values
    assert torch.equal(both, torch.arange(len(digits)))
    assert not torch.equal(validation_set.indices, split(digits, 0.1, seed=4)[1].indices)
    assert split(digits, 0, seed=3) == (digits, None)
    with pytest.raises(InputError, match="left to train on"):
        split(digits.subset(slice(0, 1)), 0.5, seed=3)

    # Spoiling its labels changes what is chosen by, and no weight.
    labels = digits.labels.clone()
    labels[split(digits, 0.1, seed=1)[1].indices] = 0
    one, other = network(), network()
    defense = Natural(epochs=1, validation=0.1, keep="last")
    defense(one, digits, context=context())
    defense(other, replace(digits, labels=labels), context=context())
    assert same(one, other)


def test_the_best_epoch_is_kept_not_the_last(few, unstable):
    net, history, *_ = unstable
    scores = [row["validation_accuracy"] for row in history]
    assert scores[-1] < max(scores)
    validation_set = split(few, UNSTABLE.validation, 1)[1]
    x, y = validation_set.batch(slice(None))
    accuracy = (net.eval()(x).argmax(1) == y).float().mean().item()
    assert accuracy == pytest.approx(max(scores))


def test_clipping_bounds_the_first_step(digits):
    net, clip, rate = network(), 1e-3, 0.5
    before = copy.deepcopy(net)
    options = {"momentum": 0.0, "nesterov": False, "weight_decay": 0.0, "schedule": "constant"}
    defense = Natural(
        epochs=1, batch_size=9999, learning_rate=rate, clip_norm=clip, validation=0, keep="last", **options
    )
    defense(net, digits, context=context())
    length = sum((a - b).square().sum() for a, b in zip(net.parameters(), before.parameters(), strict=True))
    assert length.sqrt().item() == pytest.approx(rate * clip, rel=1e-3)


def test_modes_layout_and_frozen_parameters_come_back(few):
    net = network().eval()
    net[6].train()
    net[0].weight.requires_grad_(False)
    weight = net[0].weight.clone()
    Natural(epochs=1)(net, few, context=context())
    assert [part.training for part in net] == [False] * 6 + [True, False]
    assert all(p.is_contiguous() and p.grad is None for p in net.parameters())
    assert torch.equal(net[0].weight, weight)
    assert not net[0].weight.requires_grad


def test_nothing_to_train_is_said():
    data = image_set(torch.rand(20, 1, 2, 2), torch.arange(20) % 2)
    with pytest.raises(ConfigError, match="parameters to train"):
        Natural(epochs=1)(nn.Flatten(), data, context=context())


def test_a_batch_of_one_is_never_left_over(digits):
    sizes = []
    net = network()
    net.register_forward_hook(lambda module, args, out: sizes.append(len(out)) if module.training else None)
    Natural(epochs=1, batch_size=100, validation=0, keep="last")(
        net, digits.subset(slice(0, 301)), context=context()
    )
    assert sorted(sizes) == [75, 75, 75, 76]


def test_crops_and_mirrors_are_those_of_the_padded_image():
    x = torch.rand(40, 3, 6, 5)
    results = crop_flip(x, Randomness(0, torch.arange(40)))
    canvases = nn.functional.pad(x, (4,) * 4)
    mirrors = 0
    for image, result in zip(canvases, results, strict=True):
        crops = [image[:, i : i + 6, j : j + 5] for i in range(9) for j in range(9)]
        plain = any(torch.equal(crop, result) for crop in crops)
        is_mirror = any(torch.equal(crop.flip(2), result) for crop in crops)
        assert plain or is_mirror
        mirrors += is_mirror
    assert 8 < mirrors < 32
    half = crop_flip(x[20:], Randomness(0, torch.arange(20, 40)))
    assert torch.equal(results[20:], half)
