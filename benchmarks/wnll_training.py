"""One step of a WNLL stage, template 2,000 and batch 2,000: with and without remembered backbone outputs.

Each of them runs in a process of its own, so that its peak of resident memory is its own.
"""

from __future__ import annotations

import json
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

import torch

from benchmarks.models import images_or_noise, network, training_context
from robench import plugins
from robench.machine import keep_freed_memory
from robench.randomness import Randomness

SIZE = 2000
TRAININGS = {"wnll_natural": {}, "wnll_pgd": {"eps": 0.3, "step_size": 0.1, "steps": 3}}
WAYS = {"every": "at every step", "once": "once per stage"}
"""How often outputs of the backbone are computed."""


def measure(name: str, way: str, root: Path | None, steps: int) -> dict[str, float]:
    """Return the seconds of the first step and the median of the next ones, and the peak in MiB."""
    from defenses.training.network_state import frozen_except, training_layout
    from defenses.training.objective import BatchContext
    from defenses.training.split import halves
    from defenses.wnll.backbone import BackboneCache
    from defenses.wnll.options import stage_options
    from defenses.wnll.stage import WNLLStage, buffer_parameters

    keep_freed_memory()  # as `robench train` does
    net = network("small_cnn", (1, 28, 28), 10, buffer=128)
    options = stage_options(plugins.find("defenses", name)(epochs=1, **TRAININGS[name]), 0)[1]
    training_set, template = halves(images_or_noise("mnist", "train", 4 * SIZE, root, (1, 28, 28)), 0)
    buffer = buffer_parameters(net)
    optimizer = torch.optim.SGD(buffer, lr=1e-4)
    seconds = []
    with training_layout(net, torch.device("cpu")) as layout, frozen_except(net, buffer):
        net.eval()
        cache = BackboneCache(net, "cpu") if way == "once" else None
        stage = WNLLStage(
            net, template, options=options, context=training_context(), training_set=training_set, cache=cache
        )
        objective = options.graph_objective(stage)
        for step in range(1 + steps):
            start = time.perf_counter()
            rows = torch.arange(SIZE) + SIZE * (step % (len(training_set) // SIZE))
            x, y = training_set.batch(rows)
            batch = BatchContext(0.0, Randomness(step, training_set.indices[rows]))
            loss, _ = objective.loss(x.contiguous(memory_format=layout), y, batch)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            seconds.append(time.perf_counter() - start)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"first": seconds[0], "step": statistics.median(seconds[1:]), "peak": peak}


def report(root: Path | None, repeats: int) -> list[str]:
    """Measure both trainings both ways."""
    lines = [
        f"### WNLL stage, Small-CNN, template {SIZE:,}, batch {SIZE:,}",
        "",
        "| training | backbone outputs | s/step | first step | peak MiB |",
        "|---|---|---|---|---|",
    ]
    for name, options in TRAININGS.items():
        title = f"{name}, {options['steps']} attack steps" if options else name
        for way, description in WAYS.items():
            result = _measure_apart(name, way, root, repeats)
            numbers = f"{result['step']:.2f} | {result['first']:.2f} | {result['peak']:.0f}"
            lines.append(f"| {title} | {description} | {numbers} |")
    return [*lines, ""]


def _measure_apart(name: str, way: str, root: Path | None, repeats: int) -> dict[str, float]:
    code = "import sys; from benchmarks.wnll_training import main; main(*sys.argv[1:])"
    arguments = [name, way, str(root or ""), str(repeats)]
    out = subprocess.run([sys.executable, "-c", code, *arguments], check=True, capture_output=True, text=True)
    result: dict[str, float] = json.loads(out.stdout.strip().splitlines()[-1])
    return result


def main(name: str, way: str, root: str, repeats: str) -> None:
    """Print what one process measured."""
    print(json.dumps(measure(name, way, Path(root) if root else None, int(repeats))))
