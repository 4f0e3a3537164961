"""Adversarial robustness numbers that can be believed.

The public names are loaded on first use, so that importing the package stays instant.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from robench.api import Evaluation, benchmark, load_data, make_attack, wrap
    from robench.data import ImageSet, image_set
    from robench.estimator import art_classifier
    from robench.model import Model, OutputKind
    from robench.norms import L2, LINF
    from robench.threat import ThreatModel

try:
    __version__ = version("robench")
except PackageNotFoundError:  # run from a source tree that was never installed
    __version__ = "0+unknown"

_HOMES = {
    "Evaluation": "robench.api",
    "ImageSet": "robench.data",
    "L2": "robench.norms",
    "LINF": "robench.norms",
    "Model": "robench.model",
    "OutputKind": "robench.model",
    "ThreatModel": "robench.threat",
    "art_classifier": "robench.estimator",
    "benchmark": "robench.api",
    "image_set": "robench.data",
    "load_data": "robench.api",
    "make_attack": "robench.api",
    "wrap": "robench.api",
}

__all__ = [
    "L2",
    "LINF",
    "Evaluation",
    "ImageSet",
    "Model",
    "OutputKind",
    "ThreatModel",
    "art_classifier",
    "benchmark",
    "image_set",
    "load_data",
    "make_attack",
    "wrap",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'robench' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
