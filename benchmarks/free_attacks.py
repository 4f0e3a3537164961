"""Runs whose attacks cost nothing: plan, store, journal, leases, supervisor and reports are the real ones."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from robench.plan import config
from robench.plan.spec import Plan, content_hash, to_json
from robench.record.files import write_atomic
from robench.record.journal import write_journal
from robench.record.parts import (
    Provenance,
    RecordedAttack,
    RecordedDataset,
    RecordedSource,
    RecordedTarget,
    RecordedThreat,
)
from robench.record.schema import Columns, Record
from robench.record.seal import sealed_text
from robench.record.store import Store
from robench.run.outcome import Summary
from robench.run.progress import Quiet
from robench.run.settings import Environment
from robench.run.workers.executor import Event, Processes
from robench.run.workers.leases import Leases
from robench.run.workers.supervisor import Supervisor
from robench.run.workers.worker_messages import JobNote, Orders

ATTACKS = ("fgsm", "pgd", "square", "apgd", "fab", "ifgsm", "mifgsm", "difgsm", "tifgsm", "spsa")


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """How large a run is.

    Attributes:
        models: how many.
        attacks: on each model, at most 10.
        shards: pieces of the images.
        images: of a shard.
        transfer: whether the images of every attack are judged on all models, not on the attacked one alone.
    """

    models: int = 2
    attacks: int = 3
    shards: int = 10
    images: int = 20
    transfer: bool = False

    @property
    def jobs(self) -> list[tuple[str, str]]:
        """Model and attack of every job on a shard; clean images come first."""
        names = [f"m{number}" for number in range(self.models)]
        pairs = [(name, label) for name in names for label in ATTACKS[: self.attacks]]
        return [(name, "clean") for name in names] + pairs

    @property
    def units(self) -> int:
        """How many records it leaves."""
        return self.shards * sum(len(self.targets(name, label)) for name, label in self.jobs)

    def targets(self, name: str, label: str) -> list[str]:
        """Return the models that the images of a job are judged on, the attacked one first."""
        others = [f"m{number}" for number in range(self.models) if f"m{number}" != name]
        return [name, *(others if self.transfer and label != "clean" else ())]

    def plan(self) -> tuple[Plan, str]:
        """Return its plan, and the configuration it comes from."""
        models = ", ".join(f"{{name: m{number}, architecture: digits_cnn}}" for number in range(self.models))
        text = (
            f"name: simulated\ndataset: {{name: digits}}\nshard: {self.images}\n"
            f"transfer: {str(self.transfer).lower()}\n"
            f"models: [{models}]\n"
            f"threats: [{{norm: Linf, eps: 0.1, attacks: [{', '.join(ATTACKS[: self.attacks])}]}}]\n"
        )
        return config.parse(text, file=Path("simulated.yaml"), overrides=None), text


def key_of(shard: int, index: int, target: int = 0) -> str:
    """Return the key of a record, or of the images where `target` is that of the attacked model, 0."""
    return content_hash([shard, index, target] if target else [shard, index])


def record(shape: Shape, shard: int, index: int, at: int = 0) -> Record:
    """Return a record of a job, always the same: that of the target in place `at`."""
    name, label = shape.jobs[index]
    target = shape.targets(name, label)[at]
    clean, n = label == "clean", shape.images
    chance = np.random.default_rng([shard, index, at])
    robust = np.ones(n, dtype=bool) if clean else chance.random(n) < 0.7
    whole = [0] * n
    columns = Columns(
        index=list(range(shard * n, (shard + 1) * n)),
        label=[1] * n,
        clean=[1] * n,
        adversarial=np.where(robust, 1, 2).tolist(),
        status=["robust" if stands else "broken" for stands in robust.tolist()],
        linf=[0.0 if clean else 0.1] * n,
        l2=[0.0] * n if clean else chance.random(n).tolist(),
        forwards=[float(not clean)] * n,
        backwards=[float(not clean)] * n,
        first_success=whole if clean else np.where(robust, 0, chance.integers(1, 41, n)).tolist(),
        points=[0 if clean else 41] * n,
        tries=[int(not clean)] * n,
        first_passes=whole if clean else np.where(robust, 0, 2).tolist(),
        first_try=[0] * n if clean else np.where(robust, 0, 1).tolist(),
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
        key=key_of(shard, index, at),
        target=RecordedTarget.read({"name": target, "fingerprint": target, "sources": ["exact"]}),
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
                for at in range(len(self.shape.targets(*self.shape.jobs[index]))):
                    key = key_of(shard, index, at)
                    from_store = self.store.has(key)
                    if not from_store:
                        if at == 0:
                            write_atomic(self.store.adv(key), os.urandom(2000))
                        self.store.write(record(self.shape, shard, index, at))
                    self.told.append(("unit", key, key, from_store))
                self.told.append(("done", {}, 0))
            case _:
                self.told.append(("done", {}, 0))

    def events(self) -> Iterator[Event]:
        """Yield what it told."""
        while self.told:
            yield self.told.popleft()

    def end(self, verdict: str = "") -> None:
        """Nothing is left to end."""

    def end_reason(self) -> str:
        """Return nothing: it never dies."""
        return ""

    def _note(self, shard: int, index: int) -> JobNote:
        name, label = self.shape.jobs[index]
        return JobNote(
            name=key_of(shard, index),
            title=f"{label} on {name}",
            model=name,
            clean=label == "clean",
            units=len(self.shape.targets(name, label)),
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


DISTINCT = 4
"""Shards with verdicts of their own in a folder that was laid out; the next ones repeat theirs."""


def lay_out(folder: Path, shape: Shape) -> Store:
    """Write what a simulated plan leaves, without running it and without waiting for the disk.

    Only what reads a folder can be measured on it. Of the files of images it holds none.
    """
    plan, text = shape.plan()
    store = Store(folder)
    store.prepare()
    store.begin(to_json(plan), text)
    texts = [
        (shard, index, at, record(shape, shard, index, at).to_json())
        for shard in range(min(DISTINCT, shape.shards))
        for index, job in enumerate(shape.jobs)
        for at in range(len(shape.targets(*job)))
    ]
    keys = []
    for shard in range(shape.shards):
        for like, index, at, own in texts:
            if like == shard % DISTINCT:
                key, images_key = key_of(shard, index, at), key_of(shard, index)
                content = own.replace(key_of(like, index, at), key, 1).replace(
                    key_of(like, index), images_key
                )
                content = content.replace(f'"digest": "d{like}"', f'"digest": "d{shard}"', 1)
                first = f'"index": {{"from": {like * shape.images}}}'
                content = content.replace(first, f'"index": {{"from": {shard * shape.images}}}', 1)
                store.unit(key).write_text(sealed_text(content) + "\n", "utf-8")
                keys.append(key)
    digest = content_hash(to_json(plan))
    write_journal(folder, digest, keys)
    facts = {"name": "simulated", "status": "finished", "plan": digest, "expected": len(keys), "units": keys}
    store.write_json("run.json", facts)
    return store


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
            engine="auto",
            processes=Processes(),
            executor=Free(store, shape),
        ).run()
        store.write_json("run.json", summary.to_json())
    return store
