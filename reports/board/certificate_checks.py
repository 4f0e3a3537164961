"""Certified images that are broken all the same: bound or attack is wrong, and no number is reliable."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from reports.board.board_types import Doubt
from reports.board.certified import bounds_of, certified_images
from reports.board.identities import fingerprint_of, model_of
from reports.board.samples import Samples
from robench.plurals import counted
from robench.record.schema import Record

BROKEN_CERTIFICATE = "broken-certificate"

TOLERANCE = 1e-6
"""The judge's relative and absolute tolerance of distances beyond a radius."""

_BOX = (0.0, 1.0)


class Broken(NamedTuple):
    """A certified image that is not classified as its class.

    Attributes:
        image: its index.
        by: the attack or evaluation that shows it, in words.
        size: size of the perturbation in the norm of the certificate.
    """

    image: int
    by: str
    size: float


def certificate_check(samples: Samples, every: Sequence[Samples], target: str) -> Doubt | None:
    """Return the doubt if anything of the run breaks a certified image within the certified radius.

    This includes any attack or search, from any source, under any threat, and the clean evaluation: only the
    size of the perturbation that the judge measured counts. An attack under another norm may break it too.

    Args:
        samples: the board of the certificates.
        every: all boards of the run.
        target: identity of the model.
    """
    images = certified_images(bounds_of(samples, target))
    proofs = {index for index, sure in images.items() if sure}
    if not proofs:
        return None
    breaks: dict[int, Broken] = {}
    for other in every or (samples,):
        if other.setting.unattacked == samples.setting.unattacked:
            for record in (*other.clean, *other.attacked, *other.bounds):
                if _same(record, target):
                    for one in _broken_in(record, proofs, samples):
                        breaks.setdefault(one.image, one)
    if not breaks:
        return None
    first = next(iter(breaks.values()))
    threat = samples.setting.threat
    radius = f"{threat.norm} {samples.eps_text or f'{threat.eps:g}'}"
    return Doubt(
        model=samples.names[target],
        code=BROKEN_CERTIFICATE,
        count=len(breaks),
        evidence=f"{len(breaks)} of {counted(len(proofs), 'image')} "
        f"certified under {radius} are broken all the same:"
        f" image {first.image} by {first.by} at {threat.norm} {first.size:.6g}",
        remedy="The bound or the judge is wrong: believe neither number of this row, and report it with the "
        "run folder",
        unlifted=True,
    )


def _same(record: Record, target: str) -> bool:
    """Tell whether a record is of that model, under any name."""
    own = model_of(record.target)
    return own == target or (fingerprint_of(own) == fingerprint_of(target) != "")


def _broken_in(record: Record, proofs: set[int], samples: Samples) -> Iterator[Broken]:
    """Yield the certified images that get another class than the true one in a record."""
    eps, norm = samples.setting.threat.eps, samples.setting.threat.norm
    columns, limit = record.columns, eps * (1 + TOLERANCE) + TOLERANCE
    by = record.attack.label
    if record.source.name and record.source.name != record.target.name:
        by = f"{by} crafted on {record.source.name}"
    sizes = _sizes(record, norm)
    lines = zip(columns.index, columns.label, columns.clean, columns.adversarial, sizes, strict=True)
    for index, label, clean, adversarial, size in lines:
        if index not in proofs:
            continue
        if clean != label:
            yield Broken(int(index), "the clean evaluation", 0.0)
        elif adversarial != label and size <= limit:
            yield Broken(int(index), by, float(size))


def _sizes(record: Record, norm: str) -> Sequence[float]:
    """Return the size of each perturbation, or an upper bound of it, in a norm; infinite if unknown."""
    own = record.threat
    nothing = [float("inf")] * len(record.columns.index)
    if (own.bounds or _BOX) != _BOX:
        return nothing
    columns = record.columns
    sizes = {"Linf": columns.linf, "L2": columns.l2}
    if norm in sizes:
        return sizes[norm]
    if own.norm != norm:
        return nothing
    if columns.array("distance").any():  # records of an earlier version do not have it
        return [min(size, float(own.eps)) for size in columns.distance]
    return [float(own.eps)] * len(nothing)
