"""Images that are broken on every model of a board."""

from __future__ import annotations

from reports.board.identities import model_of
from reports.board.samples import Samples
from reports.board.shares import worst


def broken_on_all(samples: Samples) -> set[int]:
    """Return the images no model of the board survives; none under an infinite radius, where all fall."""
    if samples.unbounded:
        return set()
    # Robust for a target: robust in every record that is about it. Lost: so for no target.
    images, survivors = set[int](), set[int]()
    for target in dict.fromkeys(model_of(r.target) for r in samples.attacked):
        indices, stands = worst(samples.judged(target))
        images.update(indices.tolist())
        survivors.update(indices[stands].tolist())
    return images - survivors
