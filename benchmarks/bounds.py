"""`python -m benchmarks.bounds NAME --data-root DIR`: lower bounds on public networks, docs/bounds.md.

How many images a way to bound certifies, how many an attack or branch and bound breaks, and how long it took.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from model_zoo.network import Statistics
from robench import plugins
from robench.attack.threat import ThreatModel
from robench.bounds import Budget, Certifier, Outcome, branch_and_bound
from robench.bounds.certifier import EFFORTS
from robench.bounds.network import Effort
from robench.data.images import ImageSet
from robench.data.loading import load_data
from robench.machine import keep_freed_memory
from robench.model.interface import Model
from robench.plan.spec import Choice, DataSpec, ModelSpec

CIFAR = ((125.3 / 255, 123.0 / 255, 113.9 / 255), (63.0 / 255, 62.1 / 255, 66.7 / 255))
TINY = (1406, 2244, 6605, 4974, 7027, 9754, 4633, 1105, 4479, 9751,
        7903, 3542, 9680, 3343, 333, 4963, 758, 4432, 1028, 8847)  # fmt: skip

WAYS = {**EFFORTS, "crown_alone": Effort(combined=False)}
"""Ways to bound; `crown_alone` is CROWN as it was published, without interval bounds beside it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PublicNetwork:
    """A public network and its images; the suites `public-*` have the same."""

    architecture: str
    weights: str
    eps: float
    images: str = ""
    indices: tuple[int, ...] | None = None
    normalize: Statistics | None = None


PUBLIC_NETWORKS = {
    "kw": PublicNetwork(architecture="cnn_a", weights="kw_mnist.pth", eps=0.1),
    "cifar-adv": PublicNetwork(
        architecture="cnn_a", weights="cifar_cnn_a_adv.model", eps=2 / 255,
        images="cifar_sdp_200.npz", normalize=CIFAR,
    ),
    "cifar-mix": PublicNetwork(
        architecture="cnn_a", weights="cifar_cnn_a_mix.model", eps=2 / 255,
        images="cifar_sdp_200.npz", normalize=CIFAR,
    ),
    "mnist-adv": PublicNetwork(
        architecture="cnn_a", weights="mnist_cnn_a_adv.model", eps=0.3, images="mnist_sdp_200.npz"
    ),
    "tiny": PublicNetwork(architecture="cnn_tiny", weights="mnist_madry_cnn_tiny.pt", eps=0.3, indices=TINY),
}  # fmt: skip


def loaded(public: PublicNetwork, root: Path) -> tuple[Model, ImageSet]:
    """Return a public network and its images."""
    choice = Choice(name="mnist")
    if public.images:
        choice = Choice(name="npz", options={"path": str(root / "models" / public.images)})
    data = load_data(
        DataSpec(dataset=choice, split="test", indices=public.indices), root=root, download=False, seed=0
    )
    builder = plugins.find("builders", "zoo")()
    spec = ModelSpec(name=public.weights, architecture=Choice(name=public.architecture))
    spec = replace(spec, normalize=public.normalize)
    net = builder.network(spec, shape=data.shape, classes=10, seed=0, trust_code=False)
    builder.load(net, root / "models" / public.weights, sha256=None)
    return Model(name=public.weights, net=net.eval(), classes=10), data


def main() -> None:
    """Measure what the command line names and print it as Markdown."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bounds", description=__doc__)
    parser.add_argument("name", choices=PUBLIC_NETWORKS)
    parser.add_argument("--data-root", type=Path, required=True, help="folder with MNIST/ and models/")
    parser.add_argument("--method", default="crown", choices=[*WAYS, "branch_and_bound", "attack"])
    parser.add_argument("--first", type=int, default=0, help="number of the first image (default 0)")
    parser.add_argument("--images", type=int, help="how many (default all)")
    parser.add_argument("--seconds", type=float, default=60.0, help="of branch and bound, for an image")
    parser.add_argument("--whole-ball", action="store_true", help="leave the box of pixels out of the threat")
    arguments = parser.parse_args()
    keep_freed_memory()
    public = PUBLIC_NETWORKS[arguments.name]
    model, data = loaded(public, arguments.data_root)
    end = None if arguments.images is None else arguments.first + arguments.images
    x, y = data.batch(slice(arguments.first, end))
    # A box so wide that no ball around an image reaches its ends limits nothing.
    threat = ThreatModel(eps=public.eps, bounds=(-1.0, 2.0) if arguments.whole_ball else (0.0, 1.0))
    start = time.perf_counter()
    if arguments.method in {"branch_and_bound", "attack"}:
        attacking = arguments.method == "attack"  # the same search, most of its time for adversarial images
        budget = Budget.attacking(arguments.seconds) if attacking else Budget(seconds=arguments.seconds)
        lines = searched(model, x, y, threat, budget)
    else:
        certifier = Certifier.of(model, threat, x)
        x, y = certifier.checked(x, y)
        right, slack = certifier.right(x, y), certifier.slack(x)
        margins = certifier.margins(x[right], y[right], WAYS[arguments.method]).amin(dim=1)
        count = int((margins > slack[right]).sum())
        lines = [f"{count} of {len(x)} certified ({100 * count / len(x):.2f} %), {int(right.sum())} right"]
    lines.append(f"{time.perf_counter() - start:.1f} s, {time.process_time():.1f} s of processor in all")
    print(f"{arguments.name}, {arguments.method}, eps {public.eps:.6g}: " + "; ".join(lines))


def searched(
    model: Model, x: torch.Tensor, y: torch.Tensor, threat: ThreatModel, budget: Budget
) -> list[str]:
    """Run branch and bound, saying what becomes of each image, and return the counts."""
    counts: Counter[str] = Counter()
    slowest = 0.0

    def told(number: int, outcome: Outcome) -> None:
        nonlocal slowest
        counts[outcome.verdict] += 1
        slowest = max(slowest, outcome.seconds)
        print(f"{number}: {outcome.verdict}, bound {outcome.bound:.4f}, {outcome.domains} domains, "
              f"{outcome.seconds:.1f} s", flush=True)  # fmt: skip

    branch_and_bound(model, x, y, threat, budget=budget, progress=told)
    summary = ", ".join(f"{count} {verdict}" for verdict, count in sorted(counts.items()))
    return [
        f"of {len(x)}: {summary}",
        f"{100 * counts['certified'] / len(x):.1f} % certified",
        f"at most {slowest:.1f} s",
    ]


if __name__ == "__main__":
    main()
