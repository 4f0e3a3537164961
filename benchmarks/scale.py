"""What plan, store, supervisor and reports cost by themselves: `python -m benchmarks.scale --units 20000`."""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.free_attacks import Shape, run


def main() -> None:
    """Simulate a run and print Markdown."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale", description=__doc__)
    parser.add_argument("--models", type=int, default=10)
    parser.add_argument("--attacks", type=int, default=9, help="at most 10")
    parser.add_argument("--images", type=int, default=500, help="of a shard")
    parser.add_argument("--units", type=int, default=2000, help="rounded up to whole shards")
    arguments = parser.parse_args()
    jobs = arguments.models * (1 + arguments.attacks)
    shape = Shape(
        models=arguments.models,
        attacks=arguments.attacks,
        images=arguments.images,
        shards=-(-arguments.units // jobs),
    )
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        print(f"{shape.units} units of {shape.images} images, {shape.models} models\n")
        print("| what | seconds | each unit, ms | peak, MiB |\n|---|---|---|---|")
        started = time.perf_counter()
        run(folder, shape)
        _say("run, nothing there", time.perf_counter() - started, shape, _peak(resource.RUSAGE_SELF))
        started = time.perf_counter()
        run(folder, shape)
        _say("run again, all there", time.perf_counter() - started, shape, _peak(resource.RUSAGE_SELF))
        for command in (["leaderboard", name], ["report", name, "-o", str(folder / "page.html")]):
            started = time.perf_counter()
            subprocess.run([sys.executable, "-m", "robench", *command], check=True, stdout=subprocess.DEVNULL)
            _say(command[0], time.perf_counter() - started, shape, _peak(resource.RUSAGE_CHILDREN))
        size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        print(f"\n{size / 2**20:.0f} MiB on disk, {size / shape.units / 1024:.1f} KiB a unit.")


def _peak(who: int) -> float:
    return resource.getrusage(who).ru_maxrss / 1024


def _say(what: str, seconds: float, shape: Shape, peak: float) -> None:
    print(f"| {what} | {seconds:.1f} | {1000 * seconds / shape.units:.2f} | {peak:.0f} |", flush=True)


if __name__ == "__main__":
    main()
