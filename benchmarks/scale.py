"""What plan, store, supervisor and reports cost by themselves: `python -m benchmarks.scale --units 20000`."""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.free_attacks import Shape, lay_out, run
from robench.record.index.index_file import INDEX
from robench.record.store import Store

_ROBENCH = [sys.executable, "-m", "robench"]


def main() -> None:
    """Simulate a run and print Markdown."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale", description=__doc__)
    parser.add_argument("--models", type=int, default=10)
    parser.add_argument("--attacks", type=int, default=9, help="at most 10")
    parser.add_argument("--images", type=int, default=500, help="of a shard")
    parser.add_argument("--units", type=int, default=2000, help="rounded up to whole shards")
    parser.add_argument("--transfer", action="store_true", help="judge every attack on every model")
    parser.add_argument("--parts", type=int, default=0, help="also merge so many parts of the run")
    parser.add_argument("--laid-out", action="store_true", help="write the records without running the plan")
    parser.add_argument("--repeats", type=int, default=1, help="of leaderboard and report, for their medians")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="work in this folder and leave it there")
    arguments = parser.parse_args()
    one = Shape(
        models=arguments.models,
        attacks=arguments.attacks,
        images=arguments.images,
        shards=1,
        transfer=arguments.transfer,
    )
    shape = dataclasses.replace(one, shards=-(-arguments.units // one.units))
    with tempfile.TemporaryDirectory() as name:
        _measure(arguments.keep or Path(name), shape, arguments)


def _measure(folder: Path, shape: Shape, arguments: argparse.Namespace) -> None:
    parts, repeats = arguments.parts, arguments.repeats
    transfer = ", each attack judged on all of them" if shape.transfer else ""
    print(f"{shape.units} units of {shape.images} images, {shape.models} models{transfer}\n")
    print("| what | seconds | of a processor | each unit, ms | peak, MiB |\n|---|---|---|---|---|")
    whole = folder / "whole"
    script = "import sys; from benchmarks.scale import again; again(*sys.argv[1:])"
    words = [str(whole), json.dumps(dataclasses.asdict(shape))]
    if arguments.laid_out and not whole.exists():  # by a process of its own: its memory would count as theirs
        own = "import sys; from benchmarks.scale import laid_out; laid_out(*sys.argv[1:])"
        subprocess.run([sys.executable, "-c", own, *words], check=True)
    for what in () if arguments.laid_out else ("run, nothing there", "run again, all there"):
        _time(what, [sys.executable, "-c", script, *words], shape)
    if parts:
        split(whole, folder / "parts", parts)
        folders = [str(path) for path in sorted((folder / "parts").iterdir())]
        _time(
            f"merge of {parts} parts", [*_ROBENCH, "merge", *folders, "--out", str(folder / "merged")], shape
        )
    show = [*_ROBENCH, "leaderboard", str(whole)]
    (whole / INDEX).unlink(missing_ok=True)
    _time("leaderboard --no-index", [*show, "--no-index"], shape)
    _time("leaderboard, which makes the index", show, shape)
    _time("leaderboard", show, shape, repeats)
    _time("report", [*_ROBENCH, "report", str(whole), "-o", str(folder / "page.html")], shape, repeats)
    size = sum(path.stat().st_size for path in whole.rglob("*") if path.is_file())
    page = (folder / "page.html").stat().st_size
    print(f"\n{size / 2**20:.0f} MiB on disk, {size / shape.units / 1024:.1f} KiB a unit; ", end="")
    print(f"the page has {page / 2**20:.1f} MiB.")


def again(folder: str, shape: str) -> None:
    """Do a simulated run, or what is missing of it; in a process of its own, whose memory is measured."""
    run(Path(folder), Shape(**json.loads(shape)))


def laid_out(folder: str, shape: str) -> None:
    """Write what a simulated run leaves, without running it."""
    lay_out(Path(folder), Shape(**json.loads(shape)))


def split(whole: Path, folder: Path, parts: int) -> None:
    """Lay the records of a run out as parts of it, as `--shard` leaves them."""
    keys = Store(whole).planned()
    for number in range(parts):
        part = Store(folder / f"{number}")
        part.prepare()
        own = keys[number::parts]
        for name in ("plan.json", "config.yaml"):
            os.link(whole / name, part.root / name)
        for key in own:
            os.link(Store(whole).unit(key), part.unit(key))
        facts = Store(whole).facts()[0]
        part.write_json("run.json", {**facts, "units": own})


def _time(what: str, command: list[str], shape: Shape, repeats: int = 1) -> None:
    """Print what a command took: seconds, those of a processor, and the most memory; medians of repeats."""
    costs = []
    for _ in range(repeats):
        start = time.perf_counter()
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise SystemExit(f"{what} ended with exit code {process.returncode}")
        costs.append((seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024))
    seconds, own, peak = map(statistics.median, zip(*costs, strict=True))
    each = 1000 * own / shape.units
    print(f"| {what} | {seconds:.1f} | {own:.1f} | {each:.2f} | {peak:.0f} |", flush=True)


if __name__ == "__main__":
    main()
