"""`python -m benchmarks.jpeg_copy --data-root DIR`: what training and testing on CIFAR-10's JPEG copy costs.

The exact training images are found again in the copy (the nearest picture of the same class), one network
is trained on the first of them and one on their copies, with the same seed, and both are judged on exact
test images and on the copies of these. So the copy's cost is measured on both sides, image by image.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from reports.board.shares import right, worst
from robench.plan.config import parse
from robench.plan.paper.data_sets import PaperData
from robench.plan.yaml_writer import write_text
from robench.record.measures.statistics import gap_interval, mcnemar
from robench.record.store import Store

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Pixels = NDArray[np.uint8]
    Labels = NDArray[np.int64]

EXACT = "cifar10-exact"


def exact(data_root: Path, name: str, count: int) -> tuple[Pixels, Labels]:
    """Return the first exact images (N, 3, 32, 32) and their labels."""
    import numpy as np

    with np.load(data_root / EXACT / name) as archive:
        return archive["x"][:count], archive["y"][:count]


def copies_of(images: Pixels, labels: Labels, copy: Any) -> tuple[Pixels, NDArray[np.float64]]:
    """Return for each image the nearest one of its class in the copy, and its RMS distance in grey levels."""
    import numpy as np

    others, classes = copy.images.numpy(), copy.labels.numpy()
    places = np.zeros(len(images), dtype=np.int64)
    for label in range(10):
        own, theirs = np.flatnonzero(labels == label), np.flatnonzero(classes == label)
        a = images[own].reshape(len(own), -1).astype(np.float32)
        b = others[theirs].reshape(len(theirs), -1).astype(np.float32)
        squares = (a**2).sum(1)[:, None] - 2 * a @ b.T + (b**2).sum(1)
        places[own] = theirs[squares.argmin(1)]
    pixels: Pixels = others[places]
    difference = images.astype(np.float64) - pixels
    return pixels, np.sqrt((difference**2).mean((1, 2, 3)))


def prepared(data_root: Path, out: Path, train: int, test: int) -> None:
    """Write exact images and their copies as archives, and say how far they are apart."""
    import numpy as np

    from robench import plugins

    plugin = plugins.find("datasets", "cifar10-jpeg")()
    for split, file, count in (("train", "train_4000.npz", train), ("test", "test_1000.npz", test)):
        x, y = exact(data_root, file, count)
        pixels, distance = copies_of(x, y, plugin(split, root=data_root))
        doubles = len(x) - len({image.tobytes() for image in pixels})
        print(f"{split}: {count} images, RMS to copies {median(distance):.2f} grey levels in the median, "
              f"{distance.max():.2f} at most; {doubles} share a copy")  # fmt: skip
        np.savez(out / f"exact-{split}.npz", x=x, y=y)
        np.savez(out / f"copy-{split}.npz", x=pixels, y=y)


def configuration(out: Path, seed: int, train: int, epochs: int, judged_on: str) -> dict[str, Any]:
    """Return a configuration: one network trained on exact images, one on their copies."""
    defense = {
        "natural": {"epochs": epochs, "learning_rate": 0.1, "schedule": "cosine", "augmentation": "crop_flip",
                    "validation": 0.0, "keep": "last"}
    }  # fmt: skip

    def data(name: str, split: str) -> dict[str, Any]:
        path = str((out / f"{name}-{split}.npz").resolve())
        options = {"path": path, "holds": split, "title": f"CIFAR-10 ({name}-{split}.npz)"}
        return {"name": "npz", "split": split, "options": options}

    normalize = PaperData(name="cifar10").normalize
    models = [
        {
            "name": f"trained on {name}",
            "architecture": "resnet20",
            **normalize,
            "train": {"data": {**data(name, "train"), "limit": train}, "defense": defense},
        }
        for name in ("exact", "copy")
    ]
    dataset = data(judged_on, "test")
    return {"schema": 1, "name": f"jpeg-{judged_on}", "seed": seed, "dataset": dataset, "models": models}


def main() -> None:
    """Measure and print the table of docs/paper/README.md."""
    from robench.run.execute import execute
    from robench.run.settings import Environment

    parser = argparse.ArgumentParser(prog="python -m benchmarks.jpeg_copy", description=__doc__)
    parser.add_argument("--data-root", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=Path("runs/jpeg-copy"))
    parser.add_argument("--train", type=int, default=4_000)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    prepared(arguments.data_root, arguments.out, arguments.train, 1_000)
    print("| seed | judged on | trained on exact, % | on the copy, % | gap, points [95 %] | p |")
    print("| --- " * 6 + "|")
    for seed in range(arguments.seeds):
        for judged_on in ("exact", "copy"):
            text = write_text(
                configuration(arguments.out, seed, arguments.train, arguments.epochs, judged_on)
            )
            folder = arguments.out / f"s{seed}"
            plan = parse(text, file=Path("jpeg-copy.yaml"))
            execute(plan, folder, config_text=text, environment=Environment(device="cpu"))
            verdicts = {r.target.name: worst([r], right)[1] for r in Store(folder).read_records()}
            first, second = verdicts["trained on exact"], verdicts["trained on copy"]
            alone = int((first & ~second).sum()), int((second & ~first).sum())
            low, high = gap_interval(len(first), *alone)
            print(
                f"| {seed} | {judged_on} | {100 * first.mean():.1f} | {100 * second.mean():.1f} | "
                f"{100 * (second.mean() - first.mean()):+.1f} [{100 * low:+.1f}, {100 * high:+.1f}] | "
                f"{mcnemar(*alone):.3g} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
