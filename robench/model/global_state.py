"""Restores process-wide settings that a user's code may change, so that other rows are not affected."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import numpy as np
import torch

from robench.model.torch_state import kept_float32, kept_torch_state
from robench.randomness import kept_global_randomness


@contextmanager
def kept_global_state() -> Iterator[None]:
    """Restore all process-wide settings that importing and calling a user's code might change.

    The state of torch (see `kept_torch_state`; also threads, determinism, cuDNN, precision, autocast), the
    global generators, NumPy's error handling and printing, warning filters, paths, arguments, environment,
    standard streams, signal handlers, the recursion limit and the root logger.
    """
    # Around everything else: restoring may import a module that adds a filter.
    with warnings.catch_warnings():
        cudnn = torch.backends.cudnn
        flags = (cudnn.enabled, cudnn.benchmark, cudnn.deterministic)
        deterministic = _determinism()
        autocast = {d: (torch.is_autocast_enabled(d), torch.get_autocast_dtype(d)) for d in ("cpu", "cuda")}
        threads, anomaly = torch.get_num_threads(), torch.is_anomaly_enabled()
        lists = [
            (sys, "path", list(sys.path)),
            (sys, "argv", list(sys.argv)),
            (sys, "meta_path", list(sys.meta_path)),
        ]
        streams = (sys.stdin, sys.stdout, sys.stderr)
        environment, limit = dict(os.environ), sys.getrecursionlimit()
        logger = logging.getLogger()
        level, handlers, threshold = logger.level, list(logger.handlers), logging.root.manager.disable
        hooks = (sys.excepthook, sys.displayhook, warnings.showwarning)
        signals = _signals()
        printing, errors = np.get_printoptions(), np.geterr()
        try:
            with kept_torch_state(), kept_global_randomness(), kept_float32():
                yield
        finally:
            cudnn.enabled, cudnn.benchmark, cudnn.deterministic = flags
            if _determinism() != deterministic:  # only if needed: setting it imports torch's compiler (2 s)
                torch.use_deterministic_algorithms(deterministic[0], warn_only=deterministic[1])
            for kind, (is_on, dtype) in autocast.items():
                torch.set_autocast_enabled(kind, is_on)
                torch.set_autocast_dtype(kind, dtype)
            if torch.get_num_threads() != threads:
                torch.set_num_threads(threads)
            torch.autograd.set_detect_anomaly(anomaly)
            for owner, name, values in lists:
                if getattr(owner, name) != values:
                    getattr(owner, name)[:] = values
            sys.stdin, sys.stdout, sys.stderr = streams
            sys.excepthook, sys.displayhook, warnings.showwarning = hooks
            if dict(os.environ) != environment:
                os.environ.clear()
                os.environ.update(environment)
            sys.setrecursionlimit(limit)
            logger.setLevel(level)
            logger.handlers[:] = handlers
            logging.disable(threshold)
            for number, handler in signals.items():
                if signal.getsignal(number) is not handler:
                    signal.signal(number, handler)
            np.set_printoptions(**printing)
            np.seterr(**errors)


def _determinism() -> tuple[bool, bool]:
    """Return whether PyTorch uses only deterministic algorithms, and whether it only warns about others."""
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    return torch.are_deterministic_algorithms_enabled(), warn_only


def _signals() -> dict[int, Any]:
    """Return the handlers of this process; none outside the main thread, because others cannot set them."""
    handlers: dict[int, Any] = {}
    if threading.current_thread() is threading.main_thread():
        for number in signal.valid_signals():
            with suppress(ValueError, OSError):
                handler = signal.getsignal(number)
                if handler is not None:  # None: set outside of Python
                    handlers[number] = handler
    return handlers
