"""Images that are broken on every model of a board."""

from __future__ import annotations

from reports.board.identities import model_of
from reports.board.samples import Samples
from reports.board.shares import worst


def broken_on_all(samples: Samples) -> set[int]:
    """Return the images that are broken on every model; none under an infinite radius, where all break."""
    if samples.unbounded:
        return set()
    # Robust on a target: robust in every record of it. Broken on all: robust on no target.
    images, survivors = set[int](), set[int]()
    for target in dict.fromkeys(model_of(r.target) for r in samples.attacked):
        indices, stands = worst(samples.judged(target))
        images.update(indices.tolist())
        survivors.update(indices[stands].tolist())
    return images - survivors
