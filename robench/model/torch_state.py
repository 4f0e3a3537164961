"""PyTorch's state around a pass: exact float32, and restoring of settings that a pass might change.

Float32 is computed without TF32 and without bfloat16 inside products, and every flag is restored.
On GPUs torch computes convolutions in TF32 unless told otherwise (ten bits of mantissa), and after
`torch.set_float32_matmul_precision("medium")` products of matrices go through bfloat16, on processors too.
Networks that should differ only by rounding then differ by much more, and points on a boundary change sides.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch

_OPERATIONS = (
    ("generic", "all"),
    ("cuda", "all"),
    ("mkldnn", "all"),
    ("cuda", "matmul"),
    ("cuda", "conv"),
    ("cuda", "rnn"),
    ("mkldnn", "matmul"),
    ("mkldnn", "conv"),
    ("mkldnn", "rnn"),
)
"""PyTorch's precision settings; general settings first, because setting them also sets the special ones."""


@contextmanager
def kept_float32() -> Iterator[None]:
    """Restore PyTorch's float32 precision after the block, no matter which code changed it."""
    # PyTorch's own getters raise if the older and the newer way of setting these flags were mixed; these do
    # not raise.
    before = [torch._C._get_fp32_precision_getter(*place) for place in _OPERATIONS]
    product, convolution = torch._C._get_float32_matmul_precision(), _cudnn_tf32()
    try:
        yield
    finally:
        torch._C._set_float32_matmul_precision(product)
        if convolution is not None:
            torch._C._set_cudnn_allow_tf32(convolution)
        for place, value in zip(_OPERATIONS, before, strict=True):
            torch._C._set_fp32_precision_setter(*place, value)


@contextmanager
def float32_proper() -> Iterator[None]:
    """Inside the block float32 is computed as IEEE 754 float32, outside of any autocast or inference mode.

    A network's own casts and autocasts still work. All flags are restored afterwards.
    """
    with ExitStack() as stack:
        stack.enter_context(kept_float32())
        if torch.is_inference_mode_enabled():
            stack.enter_context(torch.inference_mode(mode=False))
        for device in ("cpu", "cuda"):
            if torch.is_autocast_enabled(device):
                stack.enter_context(torch.autocast(device, enabled=False))
        torch._C._set_float32_matmul_precision("highest")
        if _cudnn_tf32():
            torch._C._set_cudnn_allow_tf32(False)
        for place in _OPERATIONS:
            torch._C._set_fp32_precision_setter(*place, "ieee")
        yield


@contextmanager
def kept_torch_state() -> Iterator[None]:
    """Restore after the block the settings a pass might change: grad mode, default type and device, folder.

    It takes only a few microseconds, because it is used in every pass of a user's network.
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


def _cudnn_tf32() -> bool | None:
    """Return the older flag of convolutions; None if it cannot be read because the newer contradicts it."""
    try:
        return bool(torch._C._get_cudnn_allow_tf32())
    except RuntimeError:
        return None


def _device() -> Any:
    """Return PyTorch's mode of a default device; None if none was set, which means the CPU."""
    return getattr(torch._GLOBAL_DEVICE_CONTEXT, "device_context", None)


def _folder() -> str | None:
    try:
        return os.getcwd()
    except OSError:  # the folder was removed: there is nothing to return to
        return None
