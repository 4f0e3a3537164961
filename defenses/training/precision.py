"""Mixed precision: matrix products in bfloat16, everything that sums or decides in float32.

Micikevicius et al. 2018 (arXiv:1710.03740) for float16; bfloat16 (Kalamkar et al. 2019, arXiv:1905.12322) has
the range of float32, so no loss needs scaling.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, cast

import torch
from torch import Tensor, nn

from robench.errors import DeviceError


def check_precision(precision: str, device: torch.device) -> None:
    """Refuse a precision that the device does not support.

    Raises:
        DeviceError: bfloat16 on a GPU without it (before compute capability 8), or on a device for which
            PyTorch has no autocast.
    """
    if precision == "float32":
        return
    if device.type == "cuda":
        able = torch.version.hip is not None or torch.cuda.get_device_capability(device) >= (8, 0)
        name = torch.cuda.get_device_name(device)
    else:
        able, name = torch.amp.is_autocast_available(device.type), device.type
    if not able:
        raise DeviceError(
            where="precision",
            expected="a device that computes in bfloat16",
            got=name,
            do="Set precision: float32, or train on another device",
        )


@contextmanager
def autocast_to(precision: str, device: torch.device) -> Iterator[None]:
    """Inside the block networks compute in a precision, but return features and outputs in float32.

    Every module's two-dimensional result, features (B, D) or logits (B, K), is converted to float32, so that
    any loss on it is computed in float32. Cast weights are not cached between passes, because a weight cast
    without gradient could be reused in a pass that needs one.

    Args:
        precision: `float32` changes nothing.
        device: device of the networks.
    """
    if precision == "float32":
        yield
        return
    # By its type a hook returns nothing; by its documentation it may return another result.
    handle = nn.modules.module.register_module_forward_hook(cast("Callable[..., None]", _widened))
    try:
        with torch.autocast(device.type, dtype=torch.bfloat16, cache_enabled=False):
            yield
    finally:
        handle.remove()


def _widened(_module: nn.Module, _inputs: Any, output: Any) -> Tensor | None:
    """Return a result (B, D) in float32 if it has another floating type, else None."""
    if isinstance(output, Tensor) and output.ndim == 2 and output.dtype is torch.bfloat16:
        return output.float()
    return None
