"""Bars of WNLL graphs: what one costs beside a step of the network, and how large one may be."""

from __future__ import annotations

import resource
import subprocess
import sys
import time
from pathlib import Path

import torch

from benchmarks.bars.table import Row, ratio_row
from benchmarks.models import images_or_noise, network
from benchmarks.timing import alternate
from robench.model.evaluation import evaluation_mode


def joint_graph(root: Path | None, repeats: int) -> list[Row]:
    """Time the gradient through a joint graph of 500 + 500 points beside the softmax step of ResNet20."""
    from model_zoo.graph import Graph, interpolate
    from model_zoo.network import Network

    x, y = images_or_noise("cifar10-jpeg", "test", 500, root, (3, 32, 32)).batch(slice(None))
    net = network("resnet20", (3, 32, 32), 10)
    assert isinstance(net, Network)
    with torch.no_grad():
        template = net.eval().features(x).flip(0) + 0.01
    labels = y.flip(0)

    def softmax() -> None:
        point = x.clone().requires_grad_(True)
        torch.autograd.grad(torch.nn.functional.cross_entropy(net(point), y, reduction="sum"), point)

    def wnll() -> None:
        point = x.clone().requires_grad_(True)
        u = interpolate(net.features(point), template, labels, classes=10, graph=Graph(m=15, n=8)).u
        torch.autograd.grad(-u.gather(1, y[:, None]).clamp_min(1e-30).log().sum(), point)

    with evaluation_mode(net):
        timing = alternate(
            {"softmax": softmax, "wnll": wnll}, repeats=repeats, warmup=1, clock=time.process_time
        )
    pairs = [a / b for a, b in zip(timing.seconds["wnll"], timing.seconds["softmax"], strict=True)]
    return [
        ratio_row(
            "WNLL 500 + 500, exact gradient to the pixels, resnet20",
            "the softmax step",
            1.06,
            pairs,
            at_most=True,
            seconds=f"{timing.median('wnll'):.2f} / {timing.median('softmax'):.2f}",
        )
    ]


def large_template(_root: Path | None, repeats: int) -> list[Row]:
    """Time 10,000 queries of a template of 50,000 points in 64 dimensions: clock and memory of a process."""
    seconds, memory = [], []
    for _ in range(repeats):
        script = "from benchmarks.bars.graphs import answer_queries; answer_queries()"
        words = subprocess.run(
            [sys.executable, "-P", "-c", script], check=True, capture_output=True, text=True
        ).stdout.split()
        seconds.append(float(words[0]))
        memory.append(float(words[1]))
    work = "WNLL, template 50,000, 10,000 queries, 64 dimensions"
    return [
        ratio_row(f"{work}: seconds on the clock, two threads", "-", 10, seconds, at_most=True),
        ratio_row(f"{work}: GB of memory at most", "-", 2, memory, at_most=True),
    ]


def answer_queries() -> None:
    """Print seconds on the clock and GB that the queries took; for a process of its own."""
    from model_zoo.graph import Graph, interpolate

    torch.set_num_threads(2)
    generator = torch.Generator().manual_seed(0)
    centres = torch.randn(10, 64, generator=generator)
    labels = torch.arange(50_000) % 10
    template = centres[labels] + torch.randn(50_000, 64, generator=generator)
    queries = centres[torch.arange(10_000) % 10] + torch.randn(10_000, 64, generator=generator)
    start = time.perf_counter()
    with torch.no_grad():
        interpolate(queries, template, labels, classes=10, graph=Graph(m=15, n=8))
    seconds = time.perf_counter() - start
    print(seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9)
