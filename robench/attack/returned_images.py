"""The value that an attack of a user's file returned, as adversarial images or refused with a message."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from robench.errors import JobError

if TYPE_CHECKING:
    from robench.types import Images

MOST_NAMED = 3
"""Most items of a list that a message names one by one."""


def images_like(value: Any, x: Images, name: str) -> Images:
    """Return what an attack returned as images like x (B, C, H, W).

    Raises:
        JobError: it is not a tensor or array of numbers of that shape, or holds bytes.
    """
    import numpy as np
    import torch

    if isinstance(value, tuple | list) and len(value) == 1:
        (value,) = value
    if isinstance(value, np.ndarray) and value.dtype.kind in "fiu":
        value = torch.from_numpy(value)
    do = "Return the images alone, a tensor like x"
    if value is None:
        do = "The attack has no `return`, or one without a value: return a tensor like x"
    elif isinstance(value, torch.Tensor) and value.shape == x.shape and not value.is_complex():
        if value.dtype.is_floating_point or not value.numel() or int(value.max()) <= 1:
            return value.detach().to(device=x.device, dtype=x.dtype)
        do = "Return floats like x: divide by 255 if these are pixels from 0 to 255"
    raise JobError(
        where=name,
        expected=f"adversarial images of shape {tuple(x.shape)} with values in [0, 1], as x has",
        got=_in_words(value),
        do=do,
    )


def _in_words(value: Any) -> str:
    """Say what an attack returned in place of images."""
    import torch

    if value is None:
        return "nothing"
    if isinstance(value, tuple | list):
        kinds = [_in_words(one) for one in value] if len(value) <= MOST_NAMED else []
        return f"a {type(value).__name__} of {len(value)}" + (f" ({', '.join(kinds)})" if kinds else "")
    shape = f" of shape {tuple(value.shape)}" if hasattr(value, "shape") else ""
    if not isinstance(value, torch.Tensor):
        return f"a value of type {type(value).__name__}{shape}"
    numbers = ""
    if value.is_complex():
        numbers = " of complex numbers"
    elif not value.dtype.is_floating_point and value.numel():
        numbers = f" of whole numbers up to {int(value.max())}"
    return f"a tensor{shape}{numbers}"
