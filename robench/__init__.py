"""Adversarial robustness numbers that can be believed.

The public names are loaded on first use, so that importing the package stays instant.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from robench.faces import face

if TYPE_CHECKING:
    from robench.api.attacked import Attacked as Attacked
    from robench.api.evaluation import Evaluation as Evaluation
    from robench.api.evaluation import benchmark as benchmark
    from robench.api.evaluation import load_data as load_data
    from robench.api.makers import make_attack as make_attack
    from robench.api.makers import wnll_head as wnll_head
    from robench.api.makers import wrap as wrap
    from robench.api.runs import Run as Run
    from robench.api.runs import open_run as open_run
    from robench.api.single_attack import attack as attack
    from robench.api.training import Training as Training
    from robench.api.training import train as train
    from robench.attack.library_model import art_classifier as art_classifier
    from robench.attack.norms import L2 as L2
    from robench.attack.norms import LINF as LINF
    from robench.attack.threat import ThreatModel as ThreatModel
    from robench.data.images import ImageSet as ImageSet
    from robench.data.images import image_set as image_set
    from robench.model.interface import Model as Model
    from robench.model.interface import OutputKind as OutputKind

    __version__: str

_load, _names, __all__ = face(__name__, __file__)


def __getattr__(name: str) -> Any:
    """Return a public name, or the version that is installed."""
    if name != "__version__":
        return _load(name)
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("robench")
    except PackageNotFoundError:  # run from a source tree that was never installed
        return "0+unknown"


def __dir__() -> list[str]:
    """Return the public names."""
    return sorted({*_names(), "__version__"})
