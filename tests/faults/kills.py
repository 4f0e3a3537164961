"""Kill runs at random moments, resume them, and count what was lost.

`python -m tests.faults.kills simulated --kills 300` kills runs whose attacks cost nothing: store, journal,
leases, supervisor and reports are the real ones. `python -m tests.faults.kills real --kills 30` kills
`robench run` with training, attacks, features and reports, or one of its workers.
"""

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import deque
from functools import partial
from pathlib import Path

from robench.plan import config
from robench.plan.spec import content_hash, to_json
from robench.record.files import write_atomic
from robench.record.schema import Columns
from robench.record.store import Store
from robench.run.executor import Processes
from robench.run.leases import Leases
from robench.run.outcome import Summary
from robench.run.progress import Quiet
from robench.run.settings import Environment
from robench.run.supervisor import Supervisor
from robench.run.worker import JobNote
from tests.records import record_of

PIECES, IMAGES = 10, 20
PLAN = """
name: simulated
dataset: {name: digits, limit: 200}
shard: 20
transfer: false
models: [{name: a, architecture: digits_cnn}, {name: b, architecture: digits_cnn}]
threats: [{norm: Linf, eps: 0.1, attacks: [fgsm, pgd, square]}]
"""
JOBS = [
    ("a", "clean"),
    ("b", "clean"),
    *((name, label) for name in "ab" for label in ("fgsm", "pgd", "square")),
]
"""Model and attack of every job on a shard."""

REAL = """
name: real
dataset: {name: digits, limit: 60}
shard: 20
models:
  - name: net
    architecture: digits_cnn
    train: {defense: {natural: {epochs: 3}}, data: {limit: 300}}
  - name: net-wnll
    features_of: net
    head: {wnll: {m: 8, n: 4, template: 60}}
threats:
  - {norm: Linf, eps: 0.1, attacks: [fgsm, {pgd: {steps: 10}}]}
"""


def key_of(shard, index):
    return content_hash([shard, index])


def record(shard, index):
    """Return the record of a job, always the same."""
    name, label = JOBS[index]
    clean, chance = label == "clean", random.Random(shard * 100 + index)
    statuses = ["robust" if clean or chance.random() < 0.5 else "broken" for _ in range(IMAGES)]
    numbers = {column: [1.0] * IMAGES for column in ("linf", "l2", "forwards", "backwards")}
    columns = Columns(
        index=list(range(shard * IMAGES, (shard + 1) * IMAGES)), label=[1] * IMAGES, clean=[1] * IMAGES,
        adversarial=[1 if status == "robust" else 2 for status in statuses], status=statuses,
        first_success=[0] * IMAGES, **numbers,
    )  # fmt: skip
    threat = {} if clean else {
        "norm": "Linf", "eps": 0.1, "eps_text": "0.1", "goal": "untargeted", "bounds": [0.0, 1.0],
        "knowledge": ["weights", "template"],
    }  # fmt: skip
    return record_of(
        key=key_of(shard, index),
        target={"name": name, "fingerprint": name, "sources": ["exact"]},
        source={
            "name": "" if clean else name,
            "fingerprint": "" if clean else name,
            "gradient_source": "" if clean else "exact",
        },
        attack={"label": label, "name": label},
        threat=threat,
        dataset={"name": "digits", "split": "test", "digest": f"d{shard}", "set": "s", "n": PIECES * IMAGES},
        seed=0,
        columns=columns,
        provenance={"crafted": key_of(shard, index)},
    )


class Free:
    """An executor whose worker does a job by writing what it would have written."""

    def __init__(self, store):
        self.store = store

    def hire(self, orders):
        return FreeWorker(self.store)

    def wait(self, workers, timeout):
        return workers

    def close(self):
        pass


class FreeWorker:
    """Writes the files of jobs that cost nothing."""

    def __init__(self, store):
        self.store, self.busy, self.model, self.activity, self.memory = store, True, "", "", 0
        self.since = self.heard = time.monotonic()
        self.told = deque([("model", "a"), ("ready", PIECES * len(JOBS), PIECES, {}, {"versions": {}})])

    def order(self, kind, *arguments):
        self.busy, self.since = True, time.monotonic()
        if kind == "jobs":
            (shard,) = arguments
            self.told.append(("jobs", shard, [self.note(shard, index) for index in range(len(JOBS))]))
        elif kind == "do":
            key = key_of(*arguments)
            cached = self.store.has(key)
            if not cached:
                write_atomic(self.store.adv(key), os.urandom(2000))
                self.store.write(record(*arguments))
            self.told += [("unit", key, key, cached), ("done", {}, 0)]
        else:
            self.told.append(("done", {}, 0))

    def note(self, shard, index):
        name, label = JOBS[index]
        return JobNote(
            name=key_of(shard, index), title=f"{label} on {name}", model=name, clean=label == "clean",
            units=1, seconds=60.0,
        )  # fmt: skip

    def events(self):
        while self.told:
            yield self.told.popleft()

    def end(self, verdict=""):
        pass

    def last_words(self):
        return ""


def once(folder):
    """Run the simulated plan in a folder, with reports."""
    from robench import plugins

    plan = config.parse(PLAN, file=folder / "plan.yaml", overrides=None)
    store = Store(folder)
    store.prepare()
    summary = Summary(plan=plan, command="")
    digest = content_hash(to_json(plan))
    with Leases(folder / "leases").joined(digest) as leases:
        supervisor = Supervisor(
            summary=summary, store=store, begin=partial(store.begin, to_json(plan), PLAN), leases=leases,
            environment=Environment(), reporter=Quiet(), eager=False, processes=Processes(),
            executor=Free(store),
        )  # fmt: skip
        supervisor.run()
        store.write_json("run.json", summary.to_json())
    records = store.read_records()
    for name in ("csv", "markdown", "html"):
        plugins.find("reports", name)()(records, folder)


def units_of(folder):
    return {path.name: path.read_bytes() for path in (folder / "units").glob("[!.]*.json")}


class Campaign:
    """Runs, kills and resumes in fresh folders until enough was killed."""

    def __init__(self, command, root, seed, per_folder, units):
        self.command, self.root, self.chance = command, root, random.Random(seed)
        self.per_folder, self.units = per_folder, units
        self.kills = self.lost = self.torn = self.folders = self.changed = self.workers = 0
        self.states = set()

    def start(self, folder):
        return subprocess.Popen(
            [*self.command, str(folder)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=self.root
        )

    def finish(self, folder):
        process = self.start(folder)
        assert process.wait() == 0, f"{folder}: exit code {process.returncode}"

    def run(self, kills):
        whole = self.root / "whole"
        began = time.monotonic()
        self.finish(whole)
        length = time.monotonic() - began
        expected = units_of(whole)
        assert len(expected) == self.units, len(expected)
        board = (whole / "leaderboard.csv").read_bytes()
        while self.kills < kills:
            self.folders += 1
            folder = self.root / f"run-{self.folders}"
            for _ in range(min(self.per_folder, kills - self.kills)):
                self.kill_once(folder, length)
            self.finish(folder)
            final = units_of(folder)
            self.lost += len(expected.keys() - final.keys())
            self.check_end(folder, board)
            say(f"{self.kills} kills, {self.folders} folders, lost {self.lost}, torn {self.torn}")

    def kill_once(self, folder, length):
        before = units_of(folder) if folder.exists() else {}
        process = self.start(folder)
        deadline = time.monotonic() + self.chance.uniform(0, length)
        while time.monotonic() < deadline and process.poll() is None:
            time.sleep(0.002)
        if process.poll() is None:
            self.kills += 1
            victim = self.victim(process)
            self.workers += victim != process.pid
            os.kill(victim, signal.SIGKILL)
        process.wait()
        after = units_of(folder)
        self.changed += sum(after.get(name) != content for name, content in before.items())
        store = Store(folder)
        for key in store.keys():  # noqa: SIM118 - not a dict
            self.torn += not store.has(key)
        records, faults = store.readable() if (folder / "plan.json").exists() else ([], [])
        self.torn += len(faults)
        for one in records:
            assert one.columns == store.read(one.key).columns

    def victim(self, process):
        """Return the number of the process that is killed: the command, or one of its workers."""
        if self.chance.random() < 0.7:
            return process.pid
        listing = subprocess.run(
            ["ps", "-o", "pid=", "--ppid", str(process.pid)], capture_output=True, text=True, check=False
        )
        workers = [int(word) for word in listing.stdout.split() if Path(f"/proc/{word}").exists()]
        ours = [pid for pid in workers if b"robench.run.worker" in Path(f"/proc/{pid}/cmdline").read_bytes()]
        return self.chance.choice(ours) if ours else process.pid

    def check_end(self, folder, board):
        assert (folder / "leaderboard.csv").read_bytes() == board
        assert not (folder / "leases").exists() or not list((folder / "leases").glob("*.lease"))
        assert not (folder / "damaged").exists(), list((folder / "damaged").iterdir())


def say(text):
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def main():
    """Read the command line and do what it says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["simulated", "real", "once"])
    parser.add_argument("folder", nargs="?", type=Path)
    parser.add_argument("--kills", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    if options.what == "once":
        once(options.folder)
        return
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        if options.what == "simulated":
            command, per, units = [sys.executable, "-m", "tests.faults.kills", "once"], 10, PIECES * len(JOBS)
            os.environ["PYTHONPATH"] = os.pathsep.join([str(Path.cwd()), os.environ.get("PYTHONPATH", "")])
        else:
            (root / "plan.yaml").write_text(REAL)
            command = [
                sys.executable,
                "-P",
                "-m",
                "robench",
                "run",
                str(root / "plan.yaml"),
                "--threads",
                "1",
                "-o",
            ]
            per, units = 5, 3 * (2 + 2 * (1 + 4) * 2)
        campaign = Campaign(command, root, options.seed, per, units)
        campaign.run(options.kills)
        say(
            f"{campaign.kills} kills ({campaign.workers} of workers) in {campaign.folders} folders: "
            f"{campaign.lost} units lost, {campaign.torn} torn files, {campaign.changed} units changed"
        )


if __name__ == "__main__":
    main()
