"""One script for a lent GPU: its tests, then attacks and training beside their peers, then the card's limit.

`python -m benchmarks.gpu --out FILE` (`make gpu`). Networks have seeded weights, which is enough for timing,
and images are noise, so nothing has to be brought along. A part that could not be finished in the minutes
that are left is skipped, and the report says so. `--rehearse` does all of it at toy sizes on the processor.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch

from benchmarks.gpu.attacks import cascades, pgd
from benchmarks.gpu.card import FULL, TOY, Card
from benchmarks.gpu.steps import limit, training
from robench.machine import hardware, versions


def tests(card: Card) -> list[str]:
    """Run the tests marked `gpu`, and return what pytest says at the end."""
    seconds = max(30.0, min(150.0, card.deadline - time.monotonic()))
    command = [sys.executable, "-m", "pytest", "-q", "-m", "gpu", "tests/gpu", "-p", "no:cacheprovider"]
    where = os.environ | ({"ROBENCH_GPU_REHEARSAL": "1"} if card.device == "cpu" else {})
    try:
        process = subprocess.run(
            command, capture_output=True, text=True, timeout=seconds, check=False, env=where
        )
    except subprocess.TimeoutExpired:
        return [f"`pytest -m gpu`: not finished after {seconds:.0f} s", ""]
    tail = process.stdout.strip().splitlines()[-12:]
    return [f"`pytest -m gpu` (exit code {process.returncode}):", "", "```", *tail, "```", ""]


def parts(card: Card) -> list[tuple[str, float, Callable[[], list[str]]]]:
    """Return what is measured, in order: title, seconds that it may need on a card, and the call."""
    first, *others = card.size.networks
    slow = {"wide_resnet34_10": 3.0}
    tasks: list[tuple[str, float, Callable[[], list[str]]]] = [("tests", 60.0, lambda: tests(card))]
    for name in (first, *others):
        for steps in card.size.steps:
            seconds = 0.5 * steps * slow.get(name, 1.0)
            tasks.append((f"PGD-{steps}, {name}", seconds, lambda n=name, s=steps: pgd(card, n, s)))  # type: ignore[misc]
        tasks.append((f"training, {name}", 15.0, lambda n=name: training(card, n)))  # type: ignore[misc]
        tasks.append((f"limit, {name}", 10.0, lambda n=name: limit(card, n)))  # type: ignore[misc]
    for name in (first, *others):
        seconds = 90.0 * slow.get(name, 1.0)
        tasks.append((f"AutoAttack, {name}", seconds, lambda n=name: cascades(card, n)))  # type: ignore[misc]
    return tasks


def main() -> None:
    """Measure part after part; what is done is written at once, so that a cut costs one part."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__)
    parser.add_argument("--minutes", type=float, default=8.0, help="most minutes in all (default 8)")
    parser.add_argument("--out", type=Path, help="also write the Markdown to this file")
    parser.add_argument("--rehearse", action="store_true", help="toy sizes on the processor")
    arguments = parser.parse_args()
    device = "cpu" if arguments.rehearse else "cuda"
    if device == "cuda" and not torch.cuda.is_available():
        parser.exit(
            2, "expected a CUDA device, got none. Use --rehearse to try the script on the processor\n"
        )
    size = TOY if arguments.rehearse else FULL
    card = Card(device=device, size=size, deadline=time.monotonic() + 60 * arguments.minutes)
    packages = ", ".join(f"{name} {version}" for name, version in versions().items() if version != "absent")
    where = torch.cuda.get_device_name() if device == "cuda" else hardware("cpu")["machine"]
    text = [f"{'Rehearsal on ' * arguments.rehearse}{where}. {packages}.", ""]
    for title, seconds, measure in parts(card):
        began = time.monotonic()
        if not arguments.rehearse and began + seconds > card.deadline:
            text += [f"- {title}: not reached in {arguments.minutes:g} minutes.", ""]
        else:
            text += measure()
        print(f"{title}: {time.monotonic() - began:.1f} s", file=sys.stderr, flush=True)
        if arguments.out:
            arguments.out.write_text("\n".join(text) + "\n")
    print("\n".join(text))


if __name__ == "__main__":
    main()
