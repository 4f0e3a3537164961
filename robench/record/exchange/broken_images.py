"""For each broken image of a model, the adversarial image with the smallest change, to check claims again.

Images of models whose outputs depend on the rest of the batch, or are random, prove nothing one by one and
are left out. No torch here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from robench.errors import StorageError
from robench.record.files import MOST_TENSORS
from robench.record.measures.curves import size_column
from robench.record.schema import Record, Status
from robench.record.seal import NOTES, check_tensors, sealed_tensors, unsealed_notes
from robench.record.status import STATUSES
from robench.record.store import Store
from robench.record.threat_summary import threat_summary_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

FOLDER = "broken"
"""Folder of these images in a submission, with a file for each record."""
MOST_BYTES = 2**32
"""Most bytes of one such file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokenImages:
    """The broken images of one record.

    Attributes:
        record: the record.
        positions: positions of the images in the record.
        x_adv: the adversarial images (B, C, H, W) as they were judged.
    """

    record: Record
    positions: tuple[int, ...]
    x_adv: NDArray[np.float32]


def is_alone(record: Record) -> bool:
    """Tell whether a single image is proof: the model's output depends on it alone, and is not random."""
    return not record.target.joint and not record.draws


def smallest_changes(records: Sequence[Record]) -> dict[str, tuple[Record, tuple[int, ...]]]:
    """Return which images of which records to keep, by the records' keys.

    For each broken image, on each model and under each threat, the smallest change in the norm of the threat;
    the first of equal changes.
    """
    best: dict[tuple[object, ...], tuple[float, int, int]] = {}
    for number, record in enumerate(records):
        if record.attack.is_clean or record.certificates or not is_alone(record):
            continue
        status, index = record.columns.array("status"), record.columns.array("index")
        size = record.columns.array(size_column(record))
        if not size.any():  # of an earlier version, which did not store it
            size = record.columns.array("linf")
        model = (record.target.fingerprint, record.target.name, record.dataset.digest)
        place = (*model, threat_summary_of(record.threat))
        code = STATUSES.index(Status.BROKEN)
        for position in (status == code).nonzero()[0].tolist():
            own = (float(size[position]), number, position)
            image = (*place, int(index[position]))
            best[image] = min(best.get(image, own), own)
    positions_by_record: dict[int, list[int]] = {}
    for _, number, position in best.values():
        positions_by_record.setdefault(number, []).append(position)
    return {
        records[number].key: (records[number], tuple(sorted(positions)))
        for number, positions in sorted(positions_by_record.items())
    }


def of_run(store: Store, records: Sequence[Record]) -> Iterator[BrokenImages]:
    """Yield the images that broke the models of a run folder.

    Raises:
        StorageError: a file of crafted images is missing or damaged; names it.
    """
    for record, positions in smallest_changes(records).values():
        path = store.adv(record.provenance.crafted)
        rows = _tensors(path, notes=NOTES, most=MOST_TENSORS).get("x_adv")
        if rows is None or rows.ndim != 4 or len(rows) != len(record.columns):
            got = "none" if rows is None else f"an array of shape {rows.shape}"
            raise StorageError(where=str(path), expected="the crafted images of a record", got=got)
        yield BrokenImages(record=record, positions=positions, x_adv=rows[list(positions)].astype("float32"))


def packed(broken: BrokenImages) -> bytes:
    """Return the images as the bytes of a tensor file: the same images give the same bytes."""
    import numpy as np
    from safetensors.numpy import save

    tensors: dict[str, NDArray[Any]] = {
        "positions": np.array(broken.positions, dtype=np.int64),
        "x_adv": np.ascontiguousarray(broken.x_adv),
    }
    return sealed_tensors(save(tensors, unsealed_notes()))


def of_submission(root: Path, records: Sequence[Record]) -> Iterator[BrokenImages]:
    """Yield the images in a submission, checked against its records.

    Raises:
        StorageError: a file is damaged, or contains images that are not broken in its record.
    """
    for record in records:
        path = root / FOLDER / f"{record.key}.safetensors"
        if not path.exists():
            continue
        tensors = _tensors(path, notes=(), most=MOST_BYTES)
        positions, rows = tensors.get("positions"), tensors.get("x_adv")
        status = record.columns.array("status")
        good = (
            positions is not None
            and rows is not None
            and positions.ndim == 1
            and positions.dtype == "int64"
            and rows.ndim == 4
            and rows.dtype == "float32"
            and len(rows) == len(positions)
            and bool(((positions >= 0) & (positions < len(status))).all())
            and bool((status[positions] == STATUSES.index(Status.BROKEN)).all())
        )
        if not good:
            expected = "float32 images and the positions of those that its record says were broken"
            raise StorageError(where=path.name, expected=expected, got="something else")
        assert positions is not None
        assert rows is not None
        yield BrokenImages(record=record, positions=tuple(positions.tolist()), x_adv=rows)


def _tensors(path: Path, *, notes: Sequence[str], most: int) -> dict[str, NDArray[Any]]:
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        if not check_tensors(path, notes=notes, most=most):
            raise StorageError(where=str(path), expected="a file of images", got="none")
        return load_file(path)
    except (SafetensorError, OSError, ValueError, KeyError) as error:
        got = f"{type(error).__name__}: {error}"[:200]
        raise StorageError(where=str(path), expected="a readable file of tensors", got=got) from None
