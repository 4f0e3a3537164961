"""One joint WNLL graph of 500 + 500 points against one gradient step of ResNet20 on 500 images."""

from __future__ import annotations

from pathlib import Path

import torch

from benchmarks.models import images_or_noise, network
from benchmarks.timing import alternate
from robench.model.evaluation import evaluation_mode


def report(root: Path | None, repeats: int) -> list[str]:
    """Time forward and exact backward of the graph, and the network's step, in turn."""
    from model_zoo.graph import Graph, interpolate
    from model_zoo.network import Network

    x, y = images_or_noise("cifar10-jpeg", "test", 500, root, (3, 32, 32)).batch(slice(None))
    net = network("resnet20", (3, 32, 32), 10)
    assert isinstance(net, Network)
    with torch.no_grad():
        features = net.eval().features(x)
    template = features.flip(0) + 0.01
    labels = y.flip(0)

    def step() -> None:
        point = x.clone().requires_grad_(True)
        loss = torch.nn.functional.cross_entropy(net(point), y, reduction="sum")
        torch.autograd.grad(loss, point)

    def graph() -> None:
        query = features.clone().requires_grad_(True)
        u = interpolate(query, template, labels, classes=10, graph=Graph(m=15, n=8)).u
        torch.autograd.grad(-u.gather(1, y[:, None]).clamp_min(1e-30).log().sum(), query)

    with evaluation_mode(net):
        timing = alternate({"step": step, "graph": graph}, repeats=repeats, warmup=2)
    share = timing.median("graph") / timing.median("step")
    return [
        "### Joint WNLL graph, 500 + 500 points in 64 dimensions",
        "",
        "| part | median ms |",
        "|---|---|",
        f"| ResNet20 forward + backward to the input, 500 images | {1000 * timing.median('step'):.0f} |",
        f"| graph forward + exact backward | {1000 * timing.median('graph'):.1f} |",
        f"| share | {100 * share:.1f} % |",
        "",
    ]
