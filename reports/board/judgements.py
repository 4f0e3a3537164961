"""Which images of one model stand, source by source; computed once for all tables of a board."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from reports.board.identities import model_of
from robench.record.schema import Record
from robench.record.status import ROBUST

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Shard = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], list[list[NDArray[np.uint8]]]]
    """Images of a shard, their clean answers and labels, and of each source the statuses of its records."""


@dataclass(frozen=True, slots=True, eq=False)
class Judgement:
    """Images that survived attacks on one model that is not random; each source attacked all images.

    Attributes:
        images: their positions in the data set, increasing.
        right: which of them the model gets right without an attack.
        packed: for each source, by its identity in the order of the records, which images stand against
            everything crafted on it; eight per byte.
    """

    images: NDArray[np.int64]
    right: NDArray[np.bool_]
    packed: dict[str, NDArray[np.uint8]]

    def stands(self, source: str) -> NDArray[np.bool_]:
        """Return which images survived all attacks crafted on a source, whether right or wrong before."""
        import numpy as np

        return np.unpackbits(self.packed[source], count=len(self.images)).view(bool)

    def robust(self, source: str = "") -> NDArray[np.bool_]:
        """Return which images are right, and stand against everything crafted on a source, or on any, (n,).

        That is `robench.record.status.robust_images` of all those records at once.

        Args:
            source: its identity; empty for all sources together.
        """
        import numpy as np

        every = self.packed[source] if source else np.bitwise_and.reduce(list(self.packed.values()))
        stands = np.unpackbits(every, count=len(self.images)).view(bool)
        return stands & self.right


def judgement_of(records: Sequence[Record]) -> Judgement | None:
    """Return the images that survived attacks on one model.

    Args:
        records: of attacks judged on the model.

    Returns:
        None if this has to be computed record by record: without records, for a random model, if an image is
        in several shards, if records of one shard differ in clean predictions or labels, or if a source was
        not attacked on all images.
    """
    import numpy as np

    codes: dict[str, int] = {}
    by_object: dict[int, int] = {}
    shards: dict[int, Shard] = {}
    for record in records:
        columns, source = record.columns, record.source
        code = by_object.get(id(source))
        if code is None:
            code = by_object[id(source)] = codes.setdefault(model_of(source), len(codes))
        index, clean, label, status = columns.verdicts()
        shard = shards.get(id(index))  # records of one shard share their arrays
        if shard is None:
            shard = shards[id(index)] = (index, clean, label, [])
        if columns.draws or shard[1] is not clean or shard[2] is not label:
            return None
        while len(shard[3]) <= code:
            shard[3].append([])
        shard[3][code].append(status)
    in_order = sorted((one for one in shards.values() if len(one[0])), key=lambda shard: int(shard[0][0]))
    if not in_order or any(len(shard[3]) < len(codes) or not all(shard[3]) for shard in in_order):
        return None
    images = np.concatenate([shard[0] for shard in in_order])
    if not (images[1:] > images[:-1]).all():
        return None
    right = np.concatenate([clean == label for _, clean, label, _ in in_order])
    bits = {}
    for source_name, code in codes.items():
        # ROBUST is the largest status number.
        least = np.concatenate([np.minimum.reduce(by_source[code]) for *_, by_source in in_order])
        bits[source_name] = np.packbits(least == ROBUST)
    return Judgement(images, right, bits)
