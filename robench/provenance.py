"""Where and with what a number was made. Versions are read without importing the packages."""

from __future__ import annotations

import os
import platform
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any

PACKAGES = (
    "robench",
    "torch",
    "torchvision",
    "adversarial-robustness-toolbox",
    "torchattacks",
    "faiss-gpu",
    "numpy",
    "scipy",
    "pandas",
)


@cache
def versions() -> dict[str, str]:
    """Return the installed version of every package that can change a number, `absent` where missing."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "absent"
    return found


def hardware(device: str) -> dict[str, Any]:
    """Return the machine's kind: nothing that names the machine or its user."""
    import torch

    facts: dict[str, Any] = {
        "device": device,
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
    }
    if device.startswith("cuda"):
        facts["gpu"] = torch.cuda.get_device_name(device)
    return facts
