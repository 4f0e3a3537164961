"""Runs whose attacks cost nothing: plan, store, journal, leases, supervisor and reports are the real ones."""

from __future__ import annotations

import os
import random
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from robench.plan import config
from robench.plan.spec import Plan, content_hash, to_json
from robench.record.files import write_atomic
from robench.record.parts import (
    Provenance,
    RecordedAttack,
    RecordedDataset,
    RecordedSource,
    RecordedTarget,
    RecordedThreat,
)
from robench.record.schema import Columns, Record
from robench.record.store import Store
from robench.run.executor import Event, Processes
from robench.run.leases import Leases
from robench.run.outcome import Summary
from robench.run.progress import Quiet
from robench.run.settings import Environment
from robench.run.supervisor import Supervisor
from robench.run.worker_messages import JobNote, Orders

ATTACKS = ("fgsm", "pgd", "square", "apgd", "fab", "ifgsm", "mifgsm", "difgsm", "tifgsm", "spsa")


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """How large a run is: models, attacks, shards, and images of a shard."""

    models: int = 2
    attacks: int = 3
    shards: int = 10
    images: int = 20

    @property
    def jobs(self) -> list[tuple[str, str]]:
        """Model and attack of every job on a shard; clean images come first."""
        names = [f"m{number}" for number in range(self.models)]
        attacked = [(name, label) for name in names for label in ATTACKS[: self.attacks]]
        return [(name, "clean") for name in names] + attacked

    @property
    def units(self) -> int:
        """How many records it leaves."""
        return self.shards * len(self.jobs)

    def plan(self) -> tuple[Plan, str]:
        """Return its plan, and the configuration it comes from."""
        models = ", ".join(f"{{name: m{number}, architecture: digits_cnn}}" for number in range(self.models))
        text = (
            f"name: simulated\ndataset: {{name: digits}}\nshard: {self.images}\ntransfer: false\n"
            f"models: [{models}]\n"
            f"threats: [{{norm: Linf, eps: 0.1, attacks: [{', '.join(ATTACKS[: self.attacks])}]}}]\n"
        )
        return config.parse(text, file=Path("simulated.yaml"), overrides=None), text


def key_of(shard: int, index: int) -> str:
    """Return the key of a record."""
    return content_hash([shard, index])


def record(shape: Shape, shard: int, index: int) -> Record:
    """Return the record of a job, always the same."""
    name, label = shape.jobs[index]
    clean, chance, n = label == "clean", random.Random(shard * 1000 + index), shape.images
    statuses = ["robust" if clean or chance.random() < 0.7 else "broken" for _ in range(n)]
    columns = Columns(
        index=list(range(shard * n, (shard + 1) * n)),
        label=[1] * n,
        clean=[1] * n,
        adversarial=[1 if status == "robust" else 2 for status in statuses],
        status=statuses,
        linf=[0.0 if clean else 0.1] * n,
        l2=[0.0 if clean else round(chance.random(), 6) for _ in range(n)],
        forwards=[float(not clean)] * n,
        backwards=[float(not clean)] * n,
        first_success=[0] * n,
    )
    threat: dict[str, Any] = {
        "norm": "Linf",
        "eps": 0.1,
        "eps_text": "0.1",
        "goal": "untargeted",
        "bounds": [0.0, 1.0],
        "knowledge": ["weights", "template"],
    }
    dataset = {"name": "digits", "split": "test", "digest": f"d{shard}", "set": "s", "n": shape.shards * n}
    source = {"name": name, "fingerprint": name, "gradient_source": "exact"}
    return Record(
        key=key_of(shard, index),
        target=RecordedTarget.read({"name": name, "fingerprint": name, "sources": ["exact"]}),
        source=RecordedSource.read({"name": ""} if clean else source),
        attack=RecordedAttack.read({"label": label, "name": label}),
        threat=RecordedThreat.read({} if clean else threat),
        dataset=RecordedDataset.read(dataset),
        seed=0,
        columns=columns,
        provenance=Provenance.read({"crafted": key_of(shard, index)}),
    )


class FreeWorker:
    """Writes the files that a job would leave.

    Args:
        store: the run folder.
        shape: of the run.
    """

    def __init__(self, store: Store, shape: Shape) -> None:
        self.store, self.shape = store, shape
        self.busy, self.model, self.activity, self.memory = True, "", "", 0
        self.since = self.heard = time.monotonic()
        ready: Event = ("ready", shape.units, shape.shards, {}, {"versions": {}})
        self.told: deque[Event] = deque([("model", "m0"), ready])

    def order(self, *order: Any) -> None:
        """Carry out an order at once."""
        self.busy, self.since = True, time.monotonic()
        match order:
            case ("jobs", int(shard)):
                notes = [self._note(shard, index) for index in range(len(self.shape.jobs))]
                self.told.append(("jobs", shard, notes))
            case ("do", int(shard), int(index), str()):
                key = key_of(shard, index)
                cached = self.store.has(key)
                if not cached:
                    write_atomic(self.store.adv(key), os.urandom(2000))
                    self.store.write(record(self.shape, shard, index))
                self.told += [("unit", key, key, cached), ("done", {}, 0)]
            case _:
                self.told.append(("done", {}, 0))

    def events(self) -> Iterator[Event]:
        """Yield what it told."""
        while self.told:
            yield self.told.popleft()

    def end(self, verdict: str = "") -> None:
        """Nothing is left to end."""

    def last_words(self) -> str:
        """Return nothing: it never dies."""
        return ""

    def _note(self, shard: int, index: int) -> JobNote:
        name, label = self.shape.jobs[index]
        return JobNote(
            name=key_of(shard, index),
            title=f"{label} on {name}",
            model=name,
            clean=label == "clean",
            units=1,
            seconds=60.0,
        )


@dataclass(frozen=True, slots=True)
class Free:
    """An executor of free workers."""

    store: Store
    shape: Shape

    def hire(self, orders: Orders) -> FreeWorker:
        """Return a worker."""
        return FreeWorker(self.store, self.shape)

    def wait(self, workers: Sequence[FreeWorker], timeout: float) -> list[FreeWorker]:
        """Return all workers: each has answered."""
        return list(workers)

    def close(self) -> None:
        """Nothing is left to close."""


def run(folder: Path, shape: Shape) -> Store:
    """Do a simulated plan in a folder, or what is missing of it."""
    plan, text = shape.plan()
    store = Store(folder)
    store.prepare()
    summary = Summary(plan=plan, command="")
    with Leases(folder / "leases").joined(content_hash(to_json(plan))) as leases:
        Supervisor(
            summary=summary,
            store=store,
            begin=partial(store.begin, to_json(plan), text),
            leases=leases,
            environment=Environment(),
            reporter=Quiet(),
            eager=False,
            processes=Processes(),
            executor=Free(store, shape),
        ).run()
        store.write_json("run.json", summary.to_json())
    return store
