"""What public checkpoints keep beside their weights, read without importing or calling any of it.

`torch.load(weights_only=True)` refuses a file for a numpy number or an `argparse.Namespace` among its
settings. Each of the names here is answered by a class of ours that takes what the pickle gives it and keeps
nothing, so the file is read and its weights are found; whatever was asked for is neither imported nor made.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any


class Inert:
    """Stands for an object that is not made."""

    def __new__(cls, *_given: Any) -> Inert:
        """Take any arguments, and keep none."""
        return object.__new__(cls)

    def __init__(self, *given: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        """Take any state, and keep none."""


class InertArray(Inert):
    """Stands for a numpy array."""


class InertMapping:
    """Stands for a subclass of dict: its items are kept."""

    def __new__(cls, *_given: Any) -> OrderedDict[Any, Any]:  # type: ignore[misc]  # what the unpickler fills
        """Return an empty mapping."""
        return OrderedDict()


_SETTINGS = ("argparse.Namespace", "types.SimpleNamespace", "numpy.dtype", "datetime.datetime", "uuid.UUID")
_PATHS = ("Path", "PosixPath", "WindowsPath", "PurePath", "PurePosixPath", "PureWindowsPath")
_FACTORIES = ("list", "dict", "int", "float", "str")
_MAPPINGS = (
    "collections.defaultdict",
    "pytorch_lightning.utilities.parsing.AttributeDict",
    "lightning_fabric.utilities.data.AttributeDict",
    "lightning.fabric.utilities.data.AttributeDict",
    "easydict.EasyDict",
)
_NUMPY = ("numpy.core.multiarray", "numpy._core.multiarray")

STAND_INS: dict[str, Callable[..., Any]] = {
    **dict.fromkeys(_SETTINGS, Inert),
    **{f"{module}.{name}": Inert for module in ("pathlib", "pathlib._local") for name in _PATHS},
    **{f"{module}.{name}": Inert for module in ("builtins", "__builtin__") for name in _FACTORIES},
    **{f"{module}.scalar": Inert for module in _NUMPY},
    **{f"{module}._reconstruct": InertArray for module in _NUMPY},
    "numpy.ndarray": InertArray,
    **dict.fromkeys(_MAPPINGS, InertMapping),
}
"""Name in a pickle to what answers for it."""
