"""Stored features of a run folder, as plain arrays: features of two classes, and nearest templates.

One file for each model and board, made once while the model is loaded, so that figures need only the folder.
No torch here.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict, cast

from robench.errors import StorageError
from robench.record.files import write_atomic
from robench.record.folder import Fault, RunFolder
from robench.record.seal import check_tensors, sealed_tensors, unsealed_notes

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Integers = NDArray[np.int64]
    Floats = NDArray[np.float32]
    Pictures = NDArray[np.uint8]

VERSION = 1
"""Version of the choice and the layout of the data; part of every key."""
FEATURES = "features"
"""Name of the job that stores the features for figures, of its lease and of its error file."""
MOST_BYTES = 2**28
"""Most bytes of a file; files of `robench run` are a hundred times smaller."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cloud:
    """Features of images of two classes, clean and attacked (Wang & Osher 2019, Fig. 8 and 9).

    Attributes:
        classes: the two classes.
        choice: the reason for choosing these two, in words.
        index: (M,) positions of the images in the full split.
        label: (M,) their classes.
        clean: (M,) predicted classes of the clean images.
        adversarial: (M,) predicted classes of the attacked images.
        clean_features: (M, D) float32, the inputs of the last layer.
        adversarial_features: (M, D) float32.
    """

    classes: tuple[int, int]
    choice: str
    index: Integers
    label: Integers
    clean: Integers
    adversarial: Integers
    clean_features: Floats
    adversarial_features: Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class Nearest:
    """The k nearest template images in feature space, before and after the attack (same paper, Fig. 10).

    Attributes:
        template: number of template images.
        index: (Q,) positions of the images in the full split.
        label: (Q,) their classes.
        clean: (Q,) predicted classes of the clean images.
        adversarial: (Q,) predicted classes of the attacked images.
        queries: (Q, 2, C, H, W) uint8, the image before and after.
        ids: (Q, 2, k) rows of the template, nearest first; equal distances by row.
        labels: (Q, 2, k) classes of these rows.
        distances: (Q, 2, k) float64 Euclidean distances in feature space.
        picture: (Q, 2, k) rows of `pictures`.
        pictures: (U, C, H, W) uint8, every template image once.
    """

    template: int
    index: Integers
    label: Integers
    clean: Integers
    adversarial: Integers
    queries: Pictures
    ids: Integers
    labels: Integers
    distances: NDArray[np.float64]
    picture: Integers
    pictures: Pictures


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureSnapshot:
    """Stored features of one model on one board, under the white-box attack that breaks most images.

    Attributes:
        units: keys of the records of that attack, one for each shard; they name model, attack and threat.
        cloud: features of two classes; None if there are none.
        nearest: nearest template images; None for a model without a template.
        reason: why there is no cloud; empty if there is one.
    """

    units: tuple[str, ...]
    cloud: Cloud | None = None
    nearest: Nearest | None = None
    reason: str = ""


class Header(TypedDict, total=False):
    """What a file says beside its arrays: of which records, and the rest of `Cloud` and `Nearest`."""

    version: int
    units: list[str]
    reason: str
    classes: list[int]
    choice: str
    template: int


# Name to dtype and shape; a letter is a size that must be the same wherever it stands.
_CLOUD: dict[str, tuple[str, str]] = {
    "index": ("int64", "M"),
    "label": ("int64", "M"),
    "clean": ("int64", "M"),
    "adversarial": ("int64", "M"),
    "clean_features": ("float32", "MD"),
    "adversarial_features": ("float32", "MD"),
}
_NEAREST: dict[str, tuple[str, str]] = {
    "index": ("int64", "Q"),
    "label": ("int64", "Q"),
    "clean": ("int64", "Q"),
    "adversarial": ("int64", "Q"),
    "queries": ("uint8", "QBCHW"),
    "ids": ("int64", "QBK"),
    "labels": ("int64", "QBK"),
    "distances": ("float64", "QBK"),
    "picture": ("int64", "QBK"),
    "pictures": ("uint8", "UCHW"),
}


def write_snapshot(path: Path, snapshot: FeatureSnapshot) -> None:
    """Write a snapshot as safetensors, atomically.

    Raises:
        StorageError: writing to disk failed.
    """
    import numpy as np
    from safetensors.numpy import save

    tensors: dict[str, NDArray[Any]] = {}
    about: Header = {"version": VERSION, "units": list(snapshot.units), "reason": snapshot.reason}
    for part, layout, prefix in ((snapshot.cloud, _CLOUD, "cloud"), (snapshot.nearest, _NEAREST, "nearest")):
        if part is not None:
            arrays = {name: getattr(part, name) for name in layout}
            tensors |= {f"{prefix}.{name}": np.ascontiguousarray(array) for name, array in arrays.items()}
    if snapshot.cloud:
        about["classes"], about["choice"] = list(snapshot.cloud.classes), snapshot.cloud.choice
    if snapshot.nearest:
        about["template"] = snapshot.nearest.template
    write_atomic(path, sealed_tensors(save(tensors, unsealed_notes({"geometry": json.dumps(about)}))))


def read_snapshot(path: Path) -> FeatureSnapshot:
    """Return the snapshot in a file.

    Raises:
        StorageError: missing, half-written, damaged, foreign, or of another version; names the file.
    """
    from safetensors import SafetensorError, safe_open

    try:
        if not check_tensors(path, notes=("geometry",), most=MOST_BYTES):
            raise _broken(path, "no such file")
    except StorageError as error:
        raise _broken(path, error.got) from None
    try:
        with safe_open(path, framework="np") as file:
            about = json.loads((file.metadata() or {})["geometry"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
    except (SafetensorError, OSError, ValueError, KeyError, RecursionError) as error:
        raise _broken(path, getattr(error, "strerror", None) or str(error) or type(error).__name__) from None
    if not isinstance(about, dict) or about.get("version") != VERSION:
        got = about.get("version") if isinstance(about, dict) else about
        raise _broken(path, f"version {got!r}, not {VERSION}")
    try:
        return _checked(cast("Header", about), tensors)
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise _broken(path, str(error)) from None


def _checked(about: Header, tensors: Mapping[str, NDArray[Any]]) -> FeatureSnapshot:
    """Return the snapshot of a file's parts; whatever does not fit together raises."""
    cloud = nearest = None
    if arrays := _arrays(tensors, "cloud", _CLOUD):
        first, second = (int(label) for label in about["classes"])
        cloud = Cloud(classes=(first, second), choice=str(about["choice"]), **arrays)
    if arrays := _arrays(tensors, "nearest", _NEAREST):
        rows, count = arrays["picture"], len(arrays["pictures"])
        if rows.shape[1] != 2 or rows.size == 0 or rows.min() < 0 or rows.max() >= count:
            raise ValueError("neighbours without a picture")
        nearest = Nearest(template=int(about["template"]), **arrays)
    units = about["units"]
    if not isinstance(units, list) or not units:
        raise ValueError("no units")
    return FeatureSnapshot(
        units=tuple(map(str, units)), cloud=cloud, nearest=nearest, reason=str(about.get("reason", ""))
    )


def _arrays(
    tensors: Mapping[str, NDArray[Any]], prefix: str, layout: Mapping[str, tuple[str, str]]
) -> dict[str, NDArray[Any]]:
    """Return the arrays of a part by name, none if the file has no such part."""
    if not any(name.startswith(f"{prefix}.") for name in tensors):
        return {}
    sizes: dict[str, int] = {}
    arrays = {}
    for name, (dtype, shape) in layout.items():
        array = tensors[f"{prefix}.{name}"]
        fits = array.dtype == dtype and array.ndim == len(shape)
        if not fits or any(sizes.setdefault(s, n) != n for s, n in zip(shape, array.shape, strict=True)):
            raise ValueError(f"{prefix}.{name} of type {array.dtype} and shape {array.shape}")
        arrays[name] = array
    return arrays


def _broken(path: Path, got: str) -> StorageError:
    return StorageError(where=str(path), expected="features that `robench run` kept", got=got)


def snapshot_faults(store: RunFolder, keys: Iterable[str]) -> list[Fault]:
    """Return a fault for every stored snapshot that cannot be read.

    Args:
        store: the run folder.
        keys: keys of the geometries that should exist.
    """
    faults = []
    for key in keys:
        try:
            read_snapshot(store.snapshot(key))
        except StorageError as error:
            faults.append(Fault.of(f"geometry/{key}.safetensors", error))
    return faults
