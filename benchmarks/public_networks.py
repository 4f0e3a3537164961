"""Networks that stay robust or break at once, for fair timing: public ones where their weights are there.

Weights lie in `models` of the data folder (shared data, never part of this repository). Where they are not,
short trainings stand in, and the title of the row says so.
"""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path

import torch
from torch import Tensor, nn

from benchmarks import models
from robench.data.images import ImageSet, image_set
from robench.model.interface import Model


class TradesCNN(nn.Module):
    """The Small-CNN of TRADES (Zhang et al. 2019), as its public weights name the layers; MNIST."""

    def __init__(self) -> None:
        super().__init__()
        self.feature_extractor = nn.Sequential(
            OrderedDict(
                conv1=nn.Conv2d(1, 32, 3),
                relu1=nn.ReLU(),
                conv2=nn.Conv2d(32, 32, 3),
                relu2=nn.ReLU(),
                maxpool1=nn.MaxPool2d(2),
                conv3=nn.Conv2d(32, 64, 3),
                relu3=nn.ReLU(),
                conv4=nn.Conv2d(64, 64, 3),
                relu4=nn.ReLU(),
                maxpool2=nn.MaxPool2d(2),
            )
        )
        self.classifier = nn.Sequential(
            OrderedDict(
                fc1=nn.Linear(1024, 200),
                relu1=nn.ReLU(),
                drop=nn.Dropout(),
                fc2=nn.Linear(200, 200),
                relu2=nn.ReLU(),
                fc3=nn.Linear(200, 10),
            )
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map images (B, 1, 28, 28) to logits (B, 10)."""
        logits: Tensor = self.classifier(self.feature_extractor(x).view(-1, 1024))
        return logits


def small_cnn(root: Path | None, count: int) -> tuple[Model, ImageSet]:
    """Return the TRADES Small-CNN and MNIST test images; a network trained for three epochs without it."""
    weights = None if root is None else root / "models" / "trades_mnist_smallcnn.pt"
    if weights is None or not weights.is_file():
        model, data = models.small_cnn(root)
        return model, data.subset(slice(0, count))
    net = TradesCNN()
    net.load_state_dict(torch.load(weights, weights_only=True, map_location="cpu"))
    data = models.images("mnist", "test", count, root)
    return Model(name="Small-CNN (TRADES)", net=net.eval(), classes=10), data


def natural_small_cnn(root: Path | None, count: int) -> tuple[Model, ImageSet]:
    """Return a Small-CNN trained for two epochs on clean images of MNIST, and test images."""
    train, test = models.images("mnist", "train", 4000, root), models.images("mnist", "test", count, root)
    net = models.network("small_cnn", test.shape, 10)
    models.defense("natural", epochs=2, learning_rate=0.05)(net, train, context=models.training_context())
    return Model(name="Small-CNN, natural", net=net.eval(), classes=10), test


def seeded(architecture: str, root: Path | None, count: int) -> tuple[Model, ImageSet]:
    """Return a network of the zoo with seeded weights, and images labelled by what it answers.

    Under a tiny radius all of them stay robust, so that nobody's work ends early.
    """
    torch.manual_seed(0)
    net = models.network(architecture, (3, 32, 32), 10)
    generator = torch.Generator().manual_seed(1)
    for part in net.modules():  # statistics of batch-norm as trained networks have: not zero and one
        if (
            isinstance(part, nn.BatchNorm2d)
            and part.running_mean is not None
            and part.running_var is not None
        ):
            part.running_mean.copy_(0.1 * torch.randn(part.running_mean.shape, generator=generator))
            part.running_var.copy_(0.5 + torch.rand(part.running_var.shape, generator=generator))
    net.eval()
    pictures = models.images_or_noise("cifar10-jpeg", "test", count, root, (3, 32, 32))
    x, _ = pictures.batch(slice(None))
    with torch.no_grad():
        y = torch.cat([net(part).argmax(dim=1) for part in torch.split(x, 64)])
    data = image_set((x * 255).round().to(torch.uint8), y, name=pictures.name, split="test", classes=10)
    return Model(name=f"{architecture}, seeded", net=net, classes=10), data
