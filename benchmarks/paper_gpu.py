"""`python -m benchmarks.paper_gpu`: the paper's tables at full scale, eight minutes of a GPU at a time.

A machine with a GPU is often lent for minutes. Each call goes on where the last one stopped, as run folders
keep every finished epoch and unit, asks `robench paper` to stop in time, and says what is left. Copy the
folder of runs back after each call.
"""

from __future__ import annotations

import argparse
import signal
import subprocess
import sys
import time
from pathlib import Path

TABLES = ("table8", "table9", "table10", "table6", "table7", "table3", "table1", "table11", "table2")
"""In this order: what needs a GPU most comes first."""
GRACE = 45.0
"""Seconds that a run may take to save its last epoch or unit and to end."""
INTERRUPTED = {128 + signal.SIGTERM, 128 + signal.SIGUSR1, 128 + signal.SIGINT, 138}


def piece(command: list[str], seconds: float) -> int:
    """Run a command for at most so many seconds and return its exit code; it is asked to stop, then ended."""
    with subprocess.Popen(command) as process:
        try:
            return process.wait(max(1.0, seconds - GRACE))
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGTERM)
        try:
            return process.wait(GRACE)
        except subprocess.TimeoutExpired:
            process.kill()
            return process.wait()


def main() -> int:
    """Go on with the tables until the time is over; exit code 0 when all are whole, 3 when some are left."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.paper_gpu", description=__doc__)
    parser.add_argument("--data-root", type=Path, help="folder with data sets")
    parser.add_argument("--out", type=Path, default=Path("runs/paper-full"))
    parser.add_argument("--minutes", type=float, default=8.0, help="of this call")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--tables", nargs="+", default=list(TABLES))
    parser.add_argument(
        "--rehearse", action="store_true", help="the quick scale with one seed, on the processor"
    )
    parser.add_argument("options", nargs="*", help="after --: more options of robench paper")
    asked = parser.parse_args()
    end = time.monotonic() + 60 * asked.minutes
    scale = (
        ["--scale", "quick", "--seeds", "1"]
        if asked.rehearse
        else ["--scale", "full", "--seeds", str(asked.seeds)]
    )
    data = ["--data-root", str(asked.data_root)] if asked.data_root else []
    device = ["--device", "cpu"] if asked.rehearse else ["--device", "cuda"]
    unfinished = []
    for table in asked.tables:
        left = end - time.monotonic()
        if left <= GRACE:
            unfinished.append(table)
            continue
        command = [
            sys.executable,
            "-m",
            "robench",
            "paper",
            table,
            *scale,
            "--out",
            str(asked.out),
            *data,
            *device,
        ]
        code = piece([*command, "--quiet", *asked.options], left)
        if code in INTERRUPTED or code < 0:
            unfinished.append(table)
        elif code:
            print(f"{table}: exit code {code}", flush=True)
            unfinished.append(table)
    print(f"Left: {', '.join(unfinished)}" if unfinished else "Everything is measured.", flush=True)
    return 3 if unfinished else 0


if __name__ == "__main__":
    sys.exit(main())
