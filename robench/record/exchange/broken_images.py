"""For each broken image of a model, the adversarial image with the smallest change, to check claims again.

Images of models whose outputs depend on the rest of the batch, or are random, prove nothing one by one and
are left out. No torch here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from robench.errors import StorageError
from robench.plurals import counted
from robench.record.files import MOST_TENSORS
from robench.record.measures.curves import size_column
from robench.record.schema import Record
from robench.record.seal import NOTES, check_tensors, sealed_tensors, unsealed_notes
from robench.record.status import BROKEN, ROBUST, STATUSES
from robench.record.store import Store
from robench.record.threat_summary import threat_summary_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

FOLDER = "broken"
"""Folder of these images in a submission, with a file for each record."""
MOST_BYTES = 2**32
"""Most bytes of one such file."""
MOST_SHOWN = 4
"""Most tensors of a wrong file that a message lists."""


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


def is_proof(record: Record) -> bool:
    """Tell whether broken images of a record are kept: of an attack, on a model judged image by image."""
    return not record.attack.is_clean and not record.certificates and is_alone(record)


def broken_places(record: Record) -> Iterator[tuple[tuple[object, ...], int]]:
    """Yield each broken image of a record, as model, threat and image, with its position in the record."""
    yield from _places(record, [BROKEN])


def attacked_places(record: Record) -> Iterator[tuple[tuple[object, ...], int]]:
    """Yield like `broken_places` each image that the record says an attack broke or left standing."""
    yield from _places(record, [BROKEN, ROBUST])


def _places(record: Record, codes: Sequence[int]) -> Iterator[tuple[tuple[object, ...], int]]:
    import numpy as np

    status, index = record.columns.arrays("status", "index")
    model = (record.target.fingerprint, record.target.name, record.dataset.digest)
    place = (*model, threat_summary_of(record.threat))
    for position in np.isin(status, codes).nonzero()[0].tolist():
        yield (*place, int(index[position])), position


def smallest_changes(records: Sequence[Record]) -> dict[str, tuple[Record, tuple[int, ...]]]:
    """Return which images of which records to keep, by the records' keys.

    For each broken image, on each model and under each threat, the smallest change in the norm of the threat;
    the first of equal changes.
    """
    best: dict[tuple[object, ...], tuple[float, int, int]] = {}
    for number, record in enumerate(records):
        if not is_proof(record):
            continue
        size = record.columns.array(size_column(record))
        if not size.any():  # of an earlier version, which did not store it
            size = record.columns.array("linf")
        for image, position in broken_places(record):
            own = (float(size[position]), number, position)
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
        rows = _tensors(path, where=str(path), notes=NOTES, most=MOST_TENSORS).get("x_adv")
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
        StorageError: a file is damaged, or contains images that are not broken in its record; names the
            member.
    """
    for record in records:
        name = member_of(record.key)
        if not (root / name).exists():
            continue
        tensors = _tensors(root / name, where=name, notes=(), most=MOST_BYTES)
        positions, rows = tensors.get("positions"), tensors.get("x_adv")
        if (
            positions is None
            or rows is None
            or positions.ndim != 1
            or positions.dtype != "int64"
            or rows.ndim != 4
            or rows.dtype != "float32"
            or len(rows) != len(positions)
        ):
            expected = "float32 images `x_adv` (B, C, H, W), and as many int64 `positions`"
            raise StorageError(where=name, expected=expected, got=_shapes(tensors))
        _check_positions(positions.tolist(), record, where=name)
        yield BrokenImages(record=record, positions=tuple(positions.tolist()), x_adv=rows)


def member_of(key: str) -> str:
    """Return the name in a submission of the broken images of the record of that key."""
    return f"{FOLDER}/{key}.safetensors"


def _shapes(tensors: Mapping[str, NDArray[Any]]) -> str:
    texts = [
        f"`{name[:40]}` {rows.dtype} {rows.shape}" for name, rows in sorted(tensors.items())[:MOST_SHOWN]
    ]
    return ", ".join(texts) or "nothing"


def _check_positions(positions: Sequence[int], record: Record, *, where: str) -> None:
    """Refuse positions twice, outside the record, or of images that it does not say were broken."""
    status, index = record.columns.arrays("status", "index")
    outside = [position for position in positions if not 0 <= position < len(status)]
    if outside or len(set(positions)) < len(positions):
        expected = f"different positions from 0 to {len(status) - 1}, one for each image"
        raise StorageError(where=where, expected=expected, got=f"{outside[0]}" if outside else "some twice")
    wrong = [position for position in positions if status[position] != BROKEN]
    if wrong:
        first = wrong[0]
        raise StorageError(
            where=where,
            expected=f"only images that the record of {title_of(record)} says were broken",
            got=f"{len(wrong)} of {counted(len(positions), 'image')} that it says were not: image "
            f"{int(index[first])} is {STATUSES[status[first]]} there",
        )


def title_of(record: Record) -> str:
    """Return what a record is about, such as `pgd on net (units/KEY.json)`."""
    return f"{record.attack.label} on {record.target.name} (units/{record.key}.json)"


def _tensors(path: Path, *, where: str, notes: Sequence[str], most: int) -> dict[str, NDArray[Any]]:
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        if not check_tensors(path, notes=notes, most=most):
            raise StorageError(where=where, expected="a file of images", got="none")
        return load_file(path)
    except StorageError as error:  # it names the path, which for a submission is a folder for a moment
        raise StorageError(where=where, expected=error.expected, got=error.got, do=error.do) from None
    except (SafetensorError, OSError, ValueError, KeyError) as error:
        got = f"{type(error).__name__}: {error}"[:200]
        raise StorageError(where=where, expected="a readable file of tensors", got=got) from None
