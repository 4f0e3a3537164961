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
from pathlib import Path

from benchmarks.free_attacks import Shape
from benchmarks.free_attacks import run as simulate
from robench.record.store import Store

SHAPE = Shape(models=2, attacks=3, shards=10, images=20)
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


def once(folder):
    """Run the simulated plan in a folder, with reports."""
    from robench import plugins

    records = simulate(folder, SHAPE).read_records()
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
                if not self.kill_once(folder, length):
                    break  # it came to its end: what is resumed now is short
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
        is_alive = process.poll() is None
        if is_alive:
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
        return is_alive

    def victim(self, process):
        """Return the number of the process that is killed: the command, or one of its workers."""
        if self.chance.random() < 0.7:
            return process.pid
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        workers = [int(word) for word in children if Path(f"/proc/{word}").exists()]
        ours = [
            pid
            for pid in workers
            if b"robench.run.workers.worker" in Path(f"/proc/{pid}/cmdline").read_bytes()
        ]
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
            command, per, units = [sys.executable, "-m", "tests.faults.kills", "once"], 10, SHAPE.units
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
