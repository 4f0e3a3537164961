"""One step of a WNLL stage, template 2,000 and batch 2,000: with and without remembered backbone outputs.

Each case runs in a process of its own, so that its peak of resident memory is its own.
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
from torch import nn

from benchmarks.subjects import images
from robench import plugins
from robench.data.images import ImageSet, image_set
from robench.errors import RobenchError
from robench.machine import keep_freed_memory
from robench.model.defense import TrainingContext
from robench.plan.spec import Choice, ModelSpec
from robench.randomness import Randomness

SIZE = 2000
CASES = {"wnll_natural": {}, "wnll_pgd": {"eps": 0.3, "step_size": 0.1, "steps": 3}}
WAYS = ("before", "now")


def measured(name: str, way: str, root: Path | None, steps: int) -> dict[str, float]:
    """Return the seconds of the first step and the median of the next ones, and the peak in MiB."""
    from defenses.training.network_state import frozen_except, training_layout
    from defenses.training.objective import BatchContext
    from defenses.training.split import halves
    from defenses.wnll.backbone import BackboneCache
    from defenses.wnll.options import stage_options
    from defenses.wnll.stage import WNLLStage, buffer_parameters

    keep_freed_memory()  # as `robench train` does
    network = _network()
    options = stage_options(plugins.find("defenses", name)(epochs=1, **CASES[name]), 0)[1]
    context = TrainingContext(seed=0, device="cpu", state=None, identity={}, progress=lambda row: None)
    training_set, template = halves(_data(root), 0)
    buffer = buffer_parameters(network)
    optimizer = torch.optim.SGD(buffer, lr=1e-4)
    seconds = []
    with training_layout(network, torch.device("cpu")) as layout, frozen_except(network, buffer):
        network.eval()
        cache = BackboneCache(network, "cpu") if way == "now" else None
        stage = WNLLStage(
            network, template, options=options, context=context, training_set=training_set, cache=cache
        )
        objective = options.graph_objective(stage)
        for step in range(1 + steps):
            started = time.perf_counter()
            rows = torch.arange(SIZE) + SIZE * (step % (len(training_set) // SIZE))
            x, y = training_set.batch(rows)
            batch = BatchContext(0.0, Randomness(step, training_set.indices[rows]))
            loss, _ = objective.loss(x.contiguous(memory_format=layout), y, batch)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            seconds.append(time.perf_counter() - started)
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
    said = {"before": "at every step", "now": "once per stage"}
    for name, options in CASES.items():
        title = f"{name}, {options['steps']} attack steps" if options else name
        for way in WAYS:
            found = _apart(name, way, root, repeats)
            cells = f"{found['step']:.2f} | {found['first']:.2f} | {found['peak']:.0f}"
            lines.append(f"| {title} | {said[way]} | {cells} |")
    return [*lines, ""]


def _apart(name: str, way: str, root: Path | None, repeats: int) -> dict[str, float]:
    code = "import sys; from benchmarks.wnll_training import main; main(*sys.argv[1:])"
    given = [name, way, str(root or ""), str(repeats)]
    out = subprocess.run([sys.executable, "-c", code, *given], check=True, capture_output=True, text=True)
    found: dict[str, float] = json.loads(out.stdout.strip().splitlines()[-1])
    return found


def main(name: str, way: str, root: str, repeats: str) -> None:
    """Print what one process measured."""
    print(json.dumps(measured(name, way, Path(root) if root else None, int(repeats))))


def _network() -> nn.Module:
    spec = ModelSpec(name="Small-CNN", architecture=Choice(name="small_cnn"), buffer=128)
    builder = plugins.find("builders", "zoo")()
    made: nn.Module = builder.network(spec, shape=(1, 28, 28), classes=10, seed=0, trust_code=False)
    return made


def _data(root: Path | None) -> ImageSet:
    try:
        return images("mnist", "train", 4 * SIZE, root)
    except RobenchError:
        pixels = torch.rand(4 * SIZE, 1, 28, 28, generator=torch.Generator().manual_seed(0))
        return image_set(pixels, torch.arange(4 * SIZE) % 10, name="uniform noise", split="train", classes=10)
