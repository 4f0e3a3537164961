"""Whatever a user's code switches for the process is switched back."""

import logging
import os
import random
import signal
import subprocess
import sys
import warnings

import numpy as np
import pytest
import torch

from robench.model.global_state import kept_global_state
from robench.model.torch_state import kept_torch_state


def state():
    """Return all that is promised to be kept, as plain values."""
    return {
        "grad": torch.is_grad_enabled(),
        "dtype": torch.get_default_dtype(),
        "device": torch.get_default_device(),
        "torch": torch.random.get_rng_state().tolist(),
        "numpy": np.random.get_state()[1].tolist(),
        "random": random.getstate(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "product": torch.get_float32_matmul_precision(),
        "cudnn": (torch.backends.cudnn.benchmark, torch.backends.cudnn.enabled),
        "precision": torch._C._get_fp32_precision_getter("cuda", "conv"),
        "threads": torch.get_num_threads(),
        "autocast": (torch.is_autocast_enabled("cpu"), torch.get_autocast_dtype("cpu")),
        "filters": list(warnings.filters),
        "cwd": os.getcwd(),
        "path": list(sys.path),
        "argv": list(sys.argv),
        "environment": dict(os.environ),
        "streams": (sys.stdout, sys.stderr),
        "errors": np.geterr(),
        "printing": np.get_printoptions(),
        "limit": sys.getrecursionlimit(),
        "logging": (
            logging.getLogger().level,
            list(logging.getLogger().handlers),
            logging.root.manager.disable,
        ),
        "signal": signal.getsignal(signal.SIGUSR2),
        "anomaly": torch.is_anomaly_enabled(),
    }


CHANGES = {
    "grad": lambda: torch.set_grad_enabled(False),
    "dtype": lambda: torch.set_default_dtype(torch.float64),
    "device": lambda: torch.set_default_device("meta"),
    "torch": lambda: torch.manual_seed(3),
    "numpy": lambda: np.random.seed(3),
    "random": lambda: random.seed(3),
    "deterministic": lambda: torch.use_deterministic_algorithms(True),
    "product": lambda: torch.set_float32_matmul_precision("medium"),
    "cudnn": lambda: setattr(torch.backends.cudnn, "benchmark", not torch.backends.cudnn.benchmark),
    "precision": lambda: setattr(torch.backends.cudnn.conv, "fp32_precision", "ieee"),
    "threads": lambda: torch.set_num_threads(torch.get_num_threads() + 1),
    "autocast": lambda: (
        torch.set_autocast_enabled("cpu", True),
        torch.set_autocast_dtype("cpu", torch.float16),
    ),
    "filters": lambda: warnings.simplefilter("ignore"),
    "cwd": lambda: os.chdir("/"),
    "path": lambda: sys.path.insert(0, "/nowhere"),
    "argv": lambda: sys.argv.append("x"),
    "environment": lambda: os.environ.update(ROBENCH_TEST="1"),
    "streams": lambda: setattr(sys, "stdout", sys.stderr),
    "errors": lambda: np.seterr(all="ignore"),
    "printing": lambda: np.set_printoptions(precision=1),
    "limit": lambda: sys.setrecursionlimit(sys.getrecursionlimit() + 7),
    "logging": lambda: (logging.getLogger().setLevel(1), logging.disable(5)),
    "signal": lambda: signal.signal(signal.SIGUSR2, lambda *_: None),
    "anomaly": lambda: torch.autograd.set_detect_anomaly(True, check_nan=False),
}
CHEAP = ("grad", "dtype", "device", "cwd")


def test_every_promise_is_tried():
    assert CHANGES.keys() == state().keys()


@pytest.mark.parametrize("name", CHANGES)
def test_kept(name, recwarn):
    before = state()
    with pytest.raises(ZeroDivisionError), kept_global_state():
        _switch(name, before)
    assert state() == before


@pytest.mark.parametrize("name", CHEAP)
def test_kept_around_every_pass(name):
    before = state()
    with pytest.raises(ZeroDivisionError), kept_torch_state():
        _switch(name, before)
    assert state() == before


def _switch(name, before):
    CHANGES[name]()
    assert state()[name] != before[name]
    raise ZeroDivisionError


def test_what_nobody_switched_costs_no_import_of_torchs_compiler():
    code = (
        "import sys, torch\n"
        "from robench.model.global_state import kept_global_state\n"
        "with kept_global_state(): torch.zeros(1) + 1\n"
        "assert 'torch._inductor' not in sys.modules and 'torch._dynamo' not in sys.modules"
    )
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert process.returncode == 0, process.stderr
