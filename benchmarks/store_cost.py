"""What the run folder costs beside an attack: a unit of 500 images under PGD-40 on Small-CNN.

`python -m benchmarks.store_cost` makes the unit as a run does, and times all that touches the folder: looking
for what is there; clean and adversarial images and the record written, sealed and noted; the record read and
checked again when the command hears of it; record and images read and checked again by the next run; leases
taken and given back. Weights and images are by chance, and no image falls, so that every step is made on all.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from benchmarks.models import network
from robench import plugins, recipe
from robench.attack.threat import ThreatModel
from robench.data.images import image_set
from robench.model.interface import Model
from robench.record.store import Store
from robench.run.crafting import Board
from robench.run.evaluate import evaluate
from robench.run.evaluated_model import EvaluatedModel
from robench.run.keeper import FolderKeeper
from robench.run.settings import Settings
from robench.run.work import Work
from robench.run.workers.leases import Leases


class Clock:
    """Adds up the seconds that some calls take: those of the processor, and those on the wall."""

    def __init__(self) -> None:
        self.processor, self.wall = 0.0, 0.0

    @contextmanager
    def running(self) -> Iterator[None]:
        """Count what is done inside."""
        processor, wall = time.process_time(), time.perf_counter()
        try:
            yield
        finally:
            self.processor += time.process_time() - processor
            self.wall += time.perf_counter() - wall

    def timed(self, call: Callable[..., Any]) -> Callable[..., Any]:
        """Return a call whose seconds are counted."""

        def counted(*args: Any) -> Any:
            with self.running():
                return call(*args)

        return counted


class TimedKeeper:
    """A keeper over a folder whose every call is timed.

    Args:
        keeper: the keeper.
        clock: counts its seconds.
    """

    def __init__(self, keeper: FolderKeeper, clock: Clock) -> None:
        names = ("record", "keep_record", "crafted", "keep_crafted", "failed", "finished")
        self.record, self.keep_record, self.crafted, self.keep_crafted, self.failed, self.finished = (
            clock.timed(getattr(keeper, name)) for name in names
        )


def work_of(images: int, steps: int) -> Work:
    """Return the evaluation of Small-CNN under PGD on one shard of images."""
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (images, 1, 28, 28), dtype=torch.uint8, generator=generator)
    net = network("small_cnn", (1, 28, 28), 10).eval()
    model = Model(name="Small-CNN", net=net, classes=10)
    with torch.no_grad():
        labels = net(pixels.float() / 255).argmax(1)  # all are right: every image is attacked
    data = image_set(pixels, labels, name="noise", split="test", classes=10)
    options = {"steps": steps, "step_size": 1e-6}  # none falls: all steps are made on all images
    attack = recipe.build(plugins.find("attacks", "pgd"), options, where="benchmark")
    board = Board(threat=ThreatModel(eps=1e-5), eps_text="1e-5", attacks={"pgd": attack})
    entry = EvaluatedModel(model=model, fingerprint=model.fingerprint())
    return Work(models=[entry], data=data, boards=[board], settings=Settings(shard=images))


def measure(folder: Path, work: Work) -> tuple[Clock, Clock]:
    """Return the seconds of the folder, and those of the attack and its verdict, of one attacked unit."""
    whole, own = Clock(), Clock()
    store = Store(folder)
    store.prepare()
    store.begin({"name": "store"}, "")
    keeper = FolderKeeper(store)
    with Leases(folder / "leases").joined("plan") as leases:
        units = evaluate(work, TimedKeeper(keeper, own))
        next(units)  # the clean images: what follows is the attack alone
        own.processor = own.wall = 0.0
        with whole.running():
            with own.running():
                leases.take("job")
            outcome = next(units)
            with own.running():
                keeper.keep_images(outcome.record.dataset.digest, work.data)
                store.read(outcome.record.key)  # as the supervisor does when a worker reports it
                store.note(outcome.record.key)
                leases.free("job")
        with own.running():  # what the next run does with what is there
            keeper.record(outcome.record.key)
            keeper.crafted(outcome.record.provenance.crafted)
        if list(units):
            raise SystemExit("more than one unit")
    attack = Clock()
    attack.processor, attack.wall = whole.processor, whole.wall
    return own, attack


def main() -> None:
    """Measure and print Markdown."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.store_cost", description=__doc__)
    parser.add_argument("--images", type=int, default=500)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    work = work_of(arguments.images, arguments.steps)
    pairs = []
    for _ in range(arguments.repeats):
        with tempfile.TemporaryDirectory() as name:
            pairs.append(measure(Path(name), work))
    print("| seconds | of a processor | on the wall |\n|---|---|---|")
    for title, at in (("the run folder", 0), ("the whole unit", 1)):
        clocks = [pair[at] for pair in pairs]
        processor = statistics.median(clock.processor for clock in clocks)
        wall = statistics.median(clock.wall for clock in clocks)
        print(f"| {title} | {processor:.4f} | {wall:.4f} |")
    processor = statistics.median(own.processor / whole.processor for own, whole in pairs)
    wall = statistics.median(own.wall / whole.wall for own, whole in pairs)
    print(f"| share | {100 * processor:.2f} % | {100 * wall:.2f} % |")


if __name__ == "__main__":
    main()
