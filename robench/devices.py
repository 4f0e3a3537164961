"""Which device to use, decided once and said aloud."""

from __future__ import annotations

from robench.errors import DeviceError


def resolve_device(wanted: str) -> str:
    """Return the device to use for `auto`, `cpu`, `cuda` or `cuda:N`.

    Raises:
        DeviceError: it does not exist here; says what does.
    """
    import torch

    if wanted == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if wanted == "cpu":
        return wanted
    kind, _, index = wanted.partition(":")
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if kind == "cuda" and (not index or index.isdigit()) and int(index or 0) < count:
        return wanted
    here = ", ".join(["cpu", *(f"cuda:{i}" for i in range(count))])
    raise DeviceError(
        where="--device",
        expected="a device of this machine",
        got=repr(wanted),
        do=f"Choose one of: auto, {here}",
    )
