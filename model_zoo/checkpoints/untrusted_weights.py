"""Reading weights out of untrusted bytes. Code in them is never run."""

from __future__ import annotations

import io
import pickle
import re
import warnings
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from robench.errors import CheckpointError
from robench.intake.archives import open_archive
from robench.intake.torch_files import BROKEN, names_asked_for, pickled_names

_HARMLESS = re.compile(
    r"collections\.OrderedDict|torch\._utils\._rebuild_\w+|torch\.(\w+Storage|device|Size|[a-z]*(float|int|half)\w*)"
)
"""Names that weights themselves need, so that a file that is only damaged is not called hostile."""
_REFUSED = re.compile(
    r"torch\._utils\._rebuild_(sparse_tensor|nested_tensor|device_tensor_\w+|wrapper_subclass)"
    r"|(builtins|__builtin__)\.bytearray"
)
"""Names that torch allows and weights here do not need: each can compute without end on a few bytes.

Pickles of protocol 2, which `torch.save` writes, call `builtins` by its older name.
"""
TO_TENSORS = "Convert them where the file is trusted: torch.save({name: torch.from_numpy(array), ...}, FILE)"
"""What to do with weights stored as numpy arrays, which the safe reader does not create."""
_SAFETENSORS = re.compile(rb'\s*\{\s*"')
"""What follows the eight bytes of a safetensors file's length; no pickle and no archive has it there."""
_KNOWN_PROTOCOL = 2
"""The newest pickle protocol that torch's safe reader knows."""
_AGAIN = "Download the file itself again"
_MAGIC = (
    (b"version https://git-lfs", "a pointer of Git LFS, not the file", "Fetch it with `git lfs pull`"),
    (b"<!doctype", "a web page", _AGAIN),
    (b"<html", "a web page", _AGAIN),
    (b"\x89hdf", "an HDF5 file", "Save the weights with torch.save or as safetensors"),
    (b"\x93numpy", "a numpy array (.npy)", TO_TENSORS),
    (b"\x1f\x8b", "a compressed file (gzip)", "Unpack it, and give the file of weights in it"),
    (b"bzh", "a compressed file (bzip2)", "Unpack it, and give the file of weights in it"),
    (b"\xfd7zxz", "a compressed file (xz)", "Unpack it, and give the file of weights in it"),
)
"""Beginnings of files that are not weights, in lower case."""


# `torch.load(weights_only=True)` refuses a file for a numpy number or an `argparse.Namespace` among the
# settings that public checkpoints store beside their weights. Each of these names is replaced by a class of
# ours that accepts any arguments of the pickle and stores nothing; nothing is imported or called.


class Inert:
    """Replaces an object that is not created."""

    def __new__(cls, *_arguments: Any) -> Inert:
        """Take any arguments, and keep none."""
        return object.__new__(cls)

    def __init__(self, *arguments: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        """Take any state, and keep none."""


class InertArray(Inert):
    """Replaces a numpy array."""


class InertMapping:
    """Replaces a subclass of dict: its items are kept."""

    def __new__(cls, *_arguments: Any) -> OrderedDict[Any, Any]:  # type: ignore[misc]  # what the unpickler fills
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
"""Name in a pickle to its replacement."""


def read(data: bytes, *, safetensors_only: bool, where: str) -> Any:
    """Return the contents of a file of weights: a mapping of tensors, or an object that contains it.

    Args:
        data: the whole file.
        safetensors_only: whether its name promises safetensors; otherwise its contents decide.
        where: the file, for the message.

    Raises:
        CheckpointError: code inside, damaged, or a file of another kind; its kind is named.
    """
    if safetensors_only or is_safetensors(data):
        return read_safetensors(data, where=where)
    if other := _other_kind(data, where=where):
        kind, do = other
        raise CheckpointError(where=where, expected="weights only", got=kind, do=do)
    return read_torch(data, where=where)


def is_safetensors(data: bytes) -> bool:
    """Tell whether a file begins like a safetensors file."""
    return bool(_SAFETENSORS.match(data, 8))


def read_safetensors(data: bytes, *, where: str) -> dict[str, Tensor]:
    """Return the tensors of a safetensors file.

    Raises:
        CheckpointError: not a whole safetensors file.
    """
    try:
        tensors: dict[str, Tensor] = safetensors.torch.load(data)
    except (safetensors.SafetensorError, *BROKEN) as error:
        raise _corrupt(where, "a whole safetensors file", error) from error
    return dict(sorted(tensors.items()))  # the library gives them in another order each time


def read_torch(data: bytes, *, where: str) -> Any:
    """Return the contents of a file of `torch.save`, with stand-ins for the settings of `STAND_INS`.

    Always loads with `weights_only=True`.

    Raises:
        CheckpointError: code inside (the offending globals are named), or damaged.
    """
    stand_ins: list[Any] = [(answer, name) for name, answer in STAND_INS.items()]
    try:
        if strangers := sorted(
            {
                name
                for name in names_asked_for(data, where=where, error=CheckpointError)
                if _REFUSED.fullmatch(name)
            }
        ):
            got = f"a pickle that asks for {', '.join(strangers)}"
            do = "Save plain tensors: sparse and nested ones as `tensor.to_dense()`"
            raise CheckpointError(where=where, expected="weights only", got=got, do=do)
        with warnings.catch_warnings(), torch.serialization.safe_globals(stand_ins):
            warnings.simplefilter("ignore")  # about the file's age and protocol; the result is checked later
            return torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except BROKEN as error:
        names = _unsafe_globals(data)
        if any(name.startswith("torch.nn.modules.") for name in names):
            do = "Where it was made: torch.save(network.state_dict(), FILE), and give that file"
            got = f"a whole pickled network, which asks for {enumeration(names)}"
            raise CheckpointError(where=where, expected="weights only", got=got, do=do) from error
        if names:
            numpy = all(name.startswith("numpy.") for name in names)
            raise CheckpointError(
                where=where,
                expected="weights only",
                got=f"a pickle that asks for {', '.join(names)}",
                do=TO_TENSORS
                if numpy
                else "Do not open it elsewhere if you do not trust its author; ask for a safetensors file",
            ) from error
        if _protocol(data) > _KNOWN_PROTOCOL:
            got = "a pickle of a protocol that the safe reader does not know"
            do = "Save it again with torch.save(...) and its default pickle_protocol"
            raise CheckpointError(where=where, expected="weights only", got=got, do=do) from error
        raise _corrupt(where, "a whole PyTorch state_dict", error) from error


def _protocol(data: bytes) -> int:
    """Return the protocol of a pickle, 0 if it does not state one."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            name = next(name for name in archive.namelist() if name.endswith("data.pkl"))
            data = archive.open(name).read(2)
    except (*BROKEN, StopIteration):
        pass  # no archive: the pickle itself
    return data[1] if data[:1] == b"\x80" and len(data) > 1 and data[1] <= pickle.HIGHEST_PROTOCOL else 0


def _other_kind(data: bytes, *, where: str) -> tuple[str, str] | None:
    """Return the kind of a file that is not a file of weights, and what to do; None if it may be one."""
    for begin, kind, do in _MAGIC:
        if data[:64].lstrip().lower().startswith(begin):
            return kind, do
    try:
        with open_archive(io.BytesIO(data), where=where, error=CheckpointError) as archive:
            inside = [name.partition("/")[2] for name in archive.namelist()]
            names = archive.namelist()
    except BROKEN:
        return None
    if "constants.pkl" in inside:
        do = "Save what torch.jit.load(FILE).state_dict() returns with torch.save, and give that file"
        return "a TorchScript archive, which is a program", do
    if any("exported_program" in name or name.endswith("archive_format") for name in (*names, *inside)):
        do = "Save what torch.export.load(FILE).state_dict holds with torch.save, and give that file"
        return "an exported program", do
    if names and all(name.endswith(".npy") for name in names):
        return "numpy arrays (.npz)", TO_TENSORS
    if names and not any(name.endswith("data.pkl") for name in names):
        return "a zip archive of other files", "Unpack it, and give the file of weights in it"
    return None


def enumeration(names: list[str], most: int = 6) -> str:
    """Return names separated by commas, and how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def _unsafe_globals(data: bytes) -> list[str]:
    try:
        names = torch.serialization.get_unsafe_globals_in_checkpoint(io.BytesIO(data))
    except BROKEN:
        names = pickled_names(
            io.BytesIO(data), where="", error=CheckpointError
        )  # torch lists those of archives
    return sorted({name for name in names if not _HARMLESS.fullmatch(name) and name not in STAND_INS})


def _corrupt(where: str, expected: str, error: BaseException) -> CheckpointError:
    reason = (str(error).strip() or type(error).__name__).splitlines()[0]
    advice = "Weights only load failed"  # torch goes on to advise what would run the file's code
    detail = "" if reason.startswith(advice) else f" ({reason})"
    return CheckpointError(
        where=where,
        expected=expected,
        got=f"a damaged or foreign file{detail}",
        do="Copy or download it again",
    )
