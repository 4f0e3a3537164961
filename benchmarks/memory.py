"""Peak memory of an evaluation against the number of images, each in a process of its own."""

from __future__ import annotations

import subprocess
import sys

_SCRIPT = """
import resource, sys, torch
from torch import nn
import robench
torch.set_num_threads(1)
n = int(sys.argv[1])
generator = torch.Generator().manual_seed(0)
pixels = torch.randint(0, 256, (20000, 1, 28, 28), dtype=torch.uint8, generator=generator)
labels = torch.arange(20000) % 10
images = robench.image_set(pixels, labels, classes=10).subset(slice(0, n))
with torch.random.fork_rng():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 16, 3), nn.ReLU(), nn.MaxPool2d(4), nn.Flatten(), nn.Linear(576, 10))
model = robench.wrap(net, name="net", classes=10)
robench.benchmark([model], images, attacks={"PGD": robench.make_attack("pgd", steps=3)}, eps=0.1)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""


def peak_memory(images: int) -> float:
    """Return the peak resident memory of evaluating that many images, in MiB."""
    out = subprocess.run(
        [sys.executable, "-c", _SCRIPT, str(images)], check=True, capture_output=True, text=True
    )
    return float(out.stdout.strip().splitlines()[-1])


def report() -> list[str]:
    """Compare the peaks of 1,000 and 20,000 images."""
    small, large = peak_memory(1000), peak_memory(20000)
    return [
        "### Peak memory of an evaluation",
        "",
        "| images | peak MiB |",
        "|---|---|",
        f"| 1,000 | {small:.0f} |",
        f"| 20,000 | {large:.0f} |",
        "",
    ]
