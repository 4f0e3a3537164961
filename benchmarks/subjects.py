"""What is benchmarked on: real images where they are, the digits otherwise, and quickly trained networks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn

from robench import plugins, recipe
from robench.data.images import ImageSet
from robench.data.loading import load_data
from robench.errors import RobenchError
from robench.model.defense import TrainingContext
from robench.model.interface import Model
from robench.plan.spec import Choice, DataSpec, ModelSpec


def images(name: str, split: str, limit: int, root: Path | None) -> ImageSet:
    """Return the first `limit` images of a split."""
    spec = DataSpec(dataset=Choice(name=name), split=split, limit=limit)
    return load_data(spec, root=root, download=False, seed=0)


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
    made: nn.Module = builder.network(spec, shape=shape, classes=classes, seed=0, trust_code=False)
    if checkpoint is not None:
        builder.load(made, checkpoint, sha256=None)
    return made


def pgd_trained(net: nn.Module, data: ImageSet, **options: Any) -> nn.Module:
    """Train a network adversarially for a short while, so that attacks have something to do."""
    chosen = {"schedule": "cosine", **options}
    defense = recipe.build(plugins.find("defenses", "pgd_training"), chosen, where="benchmark")
    context = TrainingContext(seed=0, device="cpu", state=None, identity={}, progress=lambda row: None)
    defense(net, data, context=context)
    return net.eval()


def small_cnn(root: Path | None) -> tuple[Model, ImageSet]:
    """Return a Small-CNN, PGD-trained for two short epochs on MNIST, and 256 test images."""
    train, test = images("mnist", "train", 4000, root), images("mnist", "test", 256, root)
    net = network("small_cnn", test.shape, 10)
    pgd_trained(net, train, eps=0.3, step_size=0.08, steps=5, epochs=3, learning_rate=0.05)
    return Model(name="Small-CNN", net=net, classes=10), test


def resnet20(root: Path | None) -> tuple[Model, ImageSet]:
    """Return a ResNet20, PGD-trained for one very short epoch on CIFAR-10, and 128 test images."""
    try:
        train, test = images("cifar10-jpeg", "train", 512, root), images("cifar10-jpeg", "test", 128, root)
    except RobenchError:
        generator = torch.Generator().manual_seed(0)
        pixels = torch.rand(640, 3, 32, 32, generator=generator)
        from robench.data.images import image_set

        whole = image_set(pixels, torch.arange(640) % 10, name="uniform noise", classes=10)
        train, test = whole.subset(slice(0, 512)), whole.subset(slice(512, 640))
    net = network("resnet20", test.shape, 10)
    pgd_trained(net, train, eps=8 / 255, step_size=2 / 255, steps=2, epochs=1, learning_rate=0.1)
    return Model(name="ResNet20", net=net, classes=10), test
