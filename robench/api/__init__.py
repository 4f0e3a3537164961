"""The few calls a Python user needs: wrap a network, attack it, benchmark, train, and read runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from robench.faces import face

if TYPE_CHECKING:
    from robench.api.attacked import Attacked as Attacked
    from robench.api.evaluation import Evaluation as Evaluation
    from robench.api.evaluation import benchmark as benchmark
    from robench.api.evaluation import load_data as load_data
    from robench.api.makers import make_attack as make_attack
    from robench.api.makers import wnll_head as wnll_head
    from robench.api.makers import wrap as wrap
    from robench.api.plots import Drawing as Drawing
    from robench.api.plots import Plots as Plots
    from robench.api.results import Results as Results
    from robench.api.runs import Run as Run
    from robench.api.runs import open_run as open_run
    from robench.api.single_attack import attack as attack
    from robench.api.training import Training as Training
    from robench.api.training import train as train

__getattr__, __dir__, __all__ = face(__name__, __file__)
