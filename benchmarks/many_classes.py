"""`python -m benchmarks.many_classes --data-root DIR [--images N] [--cells M]`: cascades on many classes.

CIFAR-10's ten classes are each divided into ten (or M) cells by k-means on small pictures and colours, fitted
on training images of the JPEG copy; test images, exact ones, belong to the nearest cell of their class.
CNN-A is trained adversarially to tell the cells apart. The reference AutoAttack (the package `pyautoattack`),
ours and our economical one attack the same images that it gets right.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F

from benchmarks import cascade, models
from robench.attack.norms import NORMS
from robench.attack.threat import ThreatModel
from robench.data.images import ImageSet, image_set
from robench.data.loading import load_data
from robench.model.interface import Model
from robench.plan.spec import Choice, DataSpec

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor, nn

    Vectors = NDArray[np.float32]

CELLS = 10
"""Into how many fine classes each class is divided."""
SIDE = 4
"""Pixels a side of the small pictures that are compared."""
COLOUR = 4.0
"""Weight of the mean colour and its spread beside a pixel of the small picture."""
EXACT = "cifar10-exact/test_1000.npz"
"""Exact test images, in the folder of data."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FineCells:
    """A division of every class into cells.

    Attributes:
        centres: of the cells, (classes, cells, D), in the space of `features`.
    """

    centres: Vectors

    @classmethod
    def fitted(cls, data: ImageSet, *, cells: int = CELLS, seed: int = 0) -> FineCells:
        """Divide every class of some images by k-means; the same images and seed give the same cells."""
        import numpy as np
        from sklearn.cluster import KMeans

        vectors, labels = features(data), data.labels.numpy()
        centres = [
            KMeans(cells, n_init=4, random_state=seed).fit(vectors[labels == label]).cluster_centers_
            for label in range(len(data.classes))
        ]
        return cls(centres=np.stack(centres).astype(np.float32))

    def divided(self, data: ImageSet) -> ImageSet:
        """Return the same images with the number of the nearest cell of their own class as label."""
        vectors, labels = features(data), data.labels
        own = torch.from_numpy(self.centres)[labels]
        nearest = (torch.from_numpy(vectors)[:, None] - own).square().sum(dim=2).argmin(dim=1)
        cells = self.centres.shape[1]
        names = [f"{name} {cell}" for name in data.classes for cell in range(cells)]
        title = f"{data.name} in {len(names)} cells"
        return image_set(data.images, labels * cells + nearest, name=title, split=data.split, classes=names)


def features(data: ImageSet) -> Vectors:
    """Return what images are compared by, (N, D): a small picture, its mean colour and its spread."""
    pixels, _ = data.batch(slice(None))
    small = F.adaptive_avg_pool2d(pixels, SIDE).flatten(1)
    colour = torch.cat([pixels.mean(dim=(2, 3)), pixels.std(dim=(2, 3))], dim=1)
    vectors: Vectors = torch.cat([small, COLOUR * colour], dim=1).numpy()
    return vectors


def fine_sets(root: Path, count: int, cells: int = CELLS) -> tuple[ImageSet, ImageSet]:
    """Return `count` training images of the JPEG copy and the exact test images, both in `cells` a class."""
    train = models.images("cifar10-jpeg", "train", count, root)
    source = Choice(name="npz", options={"path": str(root / EXACT)})
    test = load_data(DataSpec(dataset=source, split="test"), root=root, download=False, seed=0)
    test = image_set(test.images, test.labels, name="CIFAR-10, exact", split="test", classes=train.classes)
    division = FineCells.fitted(train, cells=cells)
    return division.divided(train), division.divided(test)


def robust_network(train: ImageSet, *, epochs: int, weights: Path | None) -> nn.Module:
    """Return CNN-A, adversarially trained at Linf 2/255.

    Args:
        train: images in cells.
        epochs: how often it sees them.
        weights: a file to read the weights from, or to write them to where there is none.
    """
    net = models.network("cnn_a", train.shape, len(train.classes))
    if weights is not None and weights.exists():
        net.load_state_dict(torch.load(weights, weights_only=True))
        return net.eval()
    models.train_by_pgd(net, train, eps=2 / 255, steps=3, epochs=epochs, learning_rate=0.05, validation=0.02)
    if weights is not None:
        torch.save(net.state_dict(), weights)
    return net


def rightly_classified(model: Model, data: ImageSet, count: int) -> ImageSet:
    """Return the first `count` images that a model gets right."""
    x, y = data.batch(slice(None))
    with torch.no_grad():
        answers: Tensor = model.net(x).argmax(dim=1)
    return data.subset((answers == y).nonzero().flatten()[:count])


def main() -> None:
    """Measure, and print the tables of docs/attacks.md."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.many_classes", description=__doc__)
    parser.add_argument(
        "--data-root", type=Path, required=True, help=f"folder with cifar10-jpeg.zip, {EXACT}"
    )
    parser.add_argument("--images", type=int, default=150, help="test images, all of them classified rightly")
    parser.add_argument("--train", type=int, default=10_000, help="training images")
    parser.add_argument("--cells", type=int, default=CELLS, help="cells of each of the ten classes")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--eps", type=float, nargs="+", default=[2.0, 4.0], help="radii, in 255ths")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--weights", type=Path, help="file of weights: read, or written where there is none")
    parser.add_argument("--cascades", nargs="+", default=cascade.CASCADES, choices=cascade.CASCADES)
    arguments = parser.parse_args()
    train, test = fine_sets(arguments.data_root, arguments.train, arguments.cells)
    net = robust_network(train, epochs=arguments.epochs, weights=arguments.weights)
    model = Model(name="CNN-A", net=net, classes=len(test.classes))
    data = rightly_classified(model, test, arguments.images)
    everything = len(rightly_classified(model, test, len(test)))
    print(f"{everything} of {len(test)} test images are classified rightly.\n")
    for radius in arguments.eps:
        threat = ThreatModel(norm=NORMS["Linf"], eps=radius / 255)
        setup = (model, data, threat)
        lines = cascade.report(setup, arguments.seeds, shard=len(data), cascades=arguments.cascades)
        print("\n".join(lines), flush=True)


if __name__ == "__main__":
    main()
