"""Checks images and labels for bounds; invalid ones are refused before any work."""

from __future__ import annotations

import hashlib

import torch
from torch import Tensor

from robench.errors import InputError
from robench.randomness import seed_from
from robench.types import Images, IntPerSample, Labels


def check_images(x: object) -> None:
    """Refuse anything that is not a batch of images.

    Raises:
        InputError: not a tensor (B, C, H, W) of numbers that float32 can represent.
    """
    if not isinstance(x, Tensor):
        raise _unusable("a tensor of images (B, C, H, W)", type(x).__name__)
    if x.ndim != 4 or 0 in x.shape[1:]:
        raise _unusable("images (B, C, H, W) of at least one pixel", f"shape {tuple(x.shape)}")
    if not x.is_floating_point() or x.layout is not torch.strided or x.is_meta:
        kind = str(x.dtype).removeprefix("torch.")
        raise _unusable("images of float32", kind, "Divide whole numbers by 255 first")
    if bool((x.float().to(x.dtype) != x).any()) and not bool(x.isnan().any()):
        got = "numbers that float32 does not hold"
        raise _unusable("images as the network sees them, in float32", got, "Give `x.float()`")


def checked_images(x: Images, shape: tuple[int, ...], box: tuple[float, float]) -> Images:
    """Return images in float32 on the CPU.

    Raises:
        InputError: not images of that shape (C, H, W), or values outside the box.
    """
    check_images(x)
    if tuple(x.shape[1:]) != shape:
        raise _unusable(f"images (B, {', '.join(map(str, shape))})", f"shape {tuple(x.shape)}")
    x = x.detach().cpu().float()
    inside = (x >= box[0]) & (x <= box[1])
    if not bool(inside.all()):
        raise _unusable(f"values from {box[0]} to {box[1]}", f"{float(x[~inside][0]):.6g}")
    return x


def checked_labels(y: object, count: int, classes: int) -> Labels:
    """Return the labels of that many images, int64 on the CPU.

    Raises:
        InputError: not a tensor (B,) of integers, or numbers that are not classes.
    """
    if not isinstance(y, Tensor):
        raise InputError(where="y", expected="a tensor of labels (B,)", got=type(y).__name__)
    kind = str(y.dtype).removeprefix("torch.")
    if y.is_floating_point() or y.is_complex() or y.dtype is torch.bool or tuple(y.shape) != (count,):
        got = f"{kind} of shape {tuple(y.shape)}"
        raise InputError(where="y", expected=f"labels ({count},), whole numbers", got=got)
    y = y.detach().cpu().long()
    inside = (y >= 0) & (y < classes)
    if not bool(inside.all()):
        got = str(int(y[~inside][0]))
        raise InputError(where="y", expected=f"classes from 0 to {classes - 1}", got=got)
    return y


def identities(x: Images) -> IntPerSample:
    """Return a number for each image that depends on its values alone, (B,) int64."""
    parts = [hashlib.sha256(one.contiguous().numpy().tobytes()).hexdigest() for one in x.detach().cpu()]
    return torch.tensor([seed_from(part) for part in parts], dtype=torch.int64)


def _unusable(expected: str, got: str, do: str = "") -> InputError:
    return InputError(where="x", expected=expected, got=got, do=do)
