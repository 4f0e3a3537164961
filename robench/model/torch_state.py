"""The state of torch around a pass: float32 that is float32, and the way back from what a pass might switch.

Float32 is computed without TF32 and without bfloat16 inside products, and every flag is put back as it was.
On GPUs torch computes convolutions in TF32 unless told otherwise (ten bits of mantissa), and after
`torch.set_float32_matmul_precision("medium")` products of matrices go through bfloat16, on processors too.
Two networks that differ by rounding then differ by far more than rounding, and points on a boundary fall
back.
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
"""Where torch keeps a precision; the general ones first, for setting one also sets those below it."""


@contextmanager
def kept_float32() -> Iterator[None]:
    """Restore after the block how precisely torch computes float32, whoever changed it."""
    # torch's own getters raise where the older and the newer way of setting these flags were mixed: these do
    # not.
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

    A network that casts or autocasts by itself goes on doing so. All flags are as before afterwards.
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


def _cudnn_tf32() -> bool | None:
    """Return the older flag of convolutions; None where it cannot be read, as the newer contradicts it."""
    try:
        return bool(torch._C._get_cudnn_allow_tf32())
    except RuntimeError:
        return None


def _device() -> Any:
    """Return torch's mode of a default device; None where none was set, which is the CPU."""
    return getattr(torch._GLOBAL_DEVICE_CONTEXT, "device_context", None)


def _folder() -> str | None:
    try:
        return os.getcwd()
    except OSError:  # it was removed: there is nothing to come back to
        return None
