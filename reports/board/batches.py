"""The accuracy of a joint model over its batches: images of one graph are not independent, graphs are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reports.board.boards import Batches
from robench.record.statistics import ENOUGH_BATCHES, t_interval

if TYPE_CHECKING:
    import pandas as pd


def over_batches(table: pd.DataFrame, verdicts: pd.Series) -> Batches | None:
    """Return the interval over the batches of a joint model.

    Args:
        table: its lines, with the columns `index`, `shard` and `joint`.
        verdicts: whether each image counts, by index.

    Returns:
        None for an independent model, for fewer than `ENOUGH_BATCHES` batches, and where batches differ by
        more than one image or an image was in several: then they are no repetitions of one another.
    """
    if not bool(table["joint"].all()):
        return None
    places = table[["index", "shard"]].astype({"shard": str}).drop_duplicates()
    if places["index"].duplicated().any():
        return None
    shares = verdicts.groupby(places.set_index("index")["shard"].reindex(verdicts.index))
    sizes = shares.size()
    if len(sizes) < ENOUGH_BATCHES or int(sizes.max()) - int(sizes.min()) > 1:
        return None
    low, high = t_interval([float(share) for share in shares.mean()])
    return Batches(len(sizes), low, high)
