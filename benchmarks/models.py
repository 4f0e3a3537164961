"""Images and quickly trained networks that benchmarks measure on: real data, or noise where it is absent."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn

from robench import plugins, recipe
from robench.data.images import ImageSet, image_set
from robench.data.loading import load_data
from robench.errors import RobenchError
from robench.model.defense import Defense, TrainingContext
from robench.model.interface import Model
from robench.plan.spec import Choice, DataSpec, ModelSpec


def images(name: str, split: str, limit: int, root: Path | None) -> ImageSet:
    """Return the first `limit` images of a split."""
    spec = DataSpec(dataset=Choice(name=name), split=split, limit=limit)
    return load_data(spec, root=root, download=False, seed=0)


def images_or_noise(
    name: str, split: str, limit: int, root: Path | None, shape: tuple[int, int, int]
) -> ImageSet:
    """Return the first `limit` images of a split, or uniform noise of its shape where it is not there."""
    try:
        return images(name, split, limit, root)
    except RobenchError:
        generator = torch.Generator().manual_seed(int(split == "test"))
        pixels = torch.randint(0, 256, (limit, *shape), dtype=torch.uint8, generator=generator)
        return image_set(pixels, torch.arange(limit) % 10, name="uniform noise", split=split, classes=10)


def network(
    architecture: str,
    shape: tuple[int, int, int],
    classes: int,
    *,
    checkpoint: Path | None = None,
    buffer: int | None = None,
) -> nn.Module:
    """Return a network of our zoo, with fresh weights or those of a checkpoint."""
    builder = plugins.find("builders", "zoo")()
    spec = ModelSpec(name=architecture, architecture=Choice(name=architecture), buffer=buffer)
    net: nn.Module = builder.network(spec, shape=shape, classes=classes, seed=0, trust_code=False)
    if checkpoint is not None:
        builder.load(net, checkpoint, sha256=None)
    return net


def training_context(device: str = "cpu") -> TrainingContext:
    """Return the context of a training that keeps no files and tells nobody."""
    return TrainingContext(seed=0, device=device, state=None, identity={}, progress=lambda row: None)


def defense(name: str, **options: Any) -> Defense:
    """Return a training defense by its name."""
    trainer: Defense = recipe.build(plugins.find("defenses", name), options, where="benchmark")
    return trainer


def train_by_pgd(net: nn.Module, data: ImageSet, **options: Any) -> nn.Module:
    """Train a network adversarially for a short while, so that attacks have something to do."""
    defense("pgd_training", **{"schedule": "cosine", **options})(net, data, context=training_context())
    return net.eval()


def small_cnn(root: Path | None) -> tuple[Model, ImageSet]:
    """Return a Small-CNN, PGD-trained for three short epochs on MNIST, and 256 test images."""
    train, test = images("mnist", "train", 4000, root), images("mnist", "test", 256, root)
    net = network("small_cnn", test.shape, 10)
    train_by_pgd(net, train, eps=0.3, step_size=0.08, steps=5, epochs=3, learning_rate=0.05)
    return Model(name="Small-CNN", net=net, classes=10), test


def resnet20(root: Path | None) -> tuple[Model, ImageSet]:
    """Return a ResNet20, PGD-trained for one very short epoch on CIFAR-10, and 128 test images."""
    train = images_or_noise("cifar10-jpeg", "train", 512, root, (3, 32, 32))
    test = images_or_noise("cifar10-jpeg", "test", 128, root, (3, 32, 32))
    net = network("resnet20", test.shape, 10)
    train_by_pgd(net, train, eps=8 / 255, step_size=2 / 255, steps=2, epochs=1, learning_rate=0.1)
    return Model(name="ResNet20", net=net, classes=10), test
