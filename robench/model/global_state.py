"""What a user's code may switch for the whole process, and the way back, for the sake of all other rows."""

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

from robench.model.float32 import kept_float32
from robench.randomness import kept_global_randomness


@contextmanager
def kept_torch_state() -> Iterator[None]:
    """Restore after the block what a forward pass might switch: grad mode, default type and device, folder.

    It takes a few microseconds, for every pass of a user's network goes through it.
    """
    gradients, dtype, folder = torch.is_grad_enabled(), torch.get_default_dtype(), _folder()
    device = _device()
    try:
        yield
    finally:
        if torch.is_grad_enabled() is not gradients:
            torch.set_grad_enabled(gradients)
        if torch.get_default_dtype() is not dtype:
            torch.set_default_dtype(dtype)
        if _device() is not device:
            torch.set_default_device(None if device is None else device.device)
        if folder is not None and _folder() != folder:
            os.chdir(folder)


@contextmanager
def kept_global_state() -> Iterator[None]:
    """Restore all that importing and calling a user's code might switch for the whole process.

    The state of torch (see `kept_torch_state`; also threads, determinism, cuDNN, precision, autocast), the
    global generators, NumPy's error handling and printing, warning filters, paths, arguments, environment,
    standard streams, signal handlers, the recursion limit and the root logger.
    """
    # Around all the rest: what is put back may import a module that adds a filter.
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
            if _determinism() != deterministic:  # else not: setting it imports torch's compiler, two seconds
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
    """Return whether torch takes deterministic algorithms alone, and whether it only warns of others."""
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    return torch.are_deterministic_algorithms_enabled(), warn_only


def _device() -> Any:
    """Return torch's mode of a default device; None where none was set, which is the CPU."""
    return getattr(torch._GLOBAL_DEVICE_CONTEXT, "device_context", None)


def _folder() -> str | None:
    try:
        return os.getcwd()
    except OSError:  # it was removed: there is nothing to come back to
        return None


def _signals() -> dict[int, Any]:
    """Return the handlers of this process; none outside of the main thread, which may not set them."""
    handlers: dict[int, Any] = {}
    if threading.current_thread() is threading.main_thread():
        for number in signal.valid_signals():
            with suppress(ValueError, OSError):
                handler = signal.getsignal(number)
                if handler is not None:  # None: set by somebody outside of Python
                    handlers[number] = handler
    return handlers
