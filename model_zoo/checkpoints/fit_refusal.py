"""The error message if no weights of a file fit a network."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from model_zoo.checkpoints.cards import described
from model_zoo.checkpoints.fits import Fit, Network
from model_zoo.checkpoints.reparametrized import foreign
from model_zoo.checkpoints.untrusted_weights import TO_TENSORS, enumeration
from model_zoo.checkpoints.weight_sets import Contents
from robench.errors import CheckpointError
from robench.plan.weights_path import key_text


def refusal_of(fits: Sequence[Fit], contents: Contents, network: Network, path: Path) -> CheckpointError:
    """Return the error about the reading with the fewest faults, the earliest if several have as few."""
    best = min(fits, key=lambda fit: fit.faults.count())
    faults, where, extra = best.faults, str(path), network.extra
    if faults.refusal is not None and faults.count() == 1:
        return faults.refusal
    expected = "weights for this network"
    if kind := foreign(best.source.tensors):
        return CheckpointError(where=where, expected=expected, got=kind[0], do=kind[1])
    if best.source.arrays and set(best.source.arrays) & set(network.own):
        got = f"numpy arrays under {enumeration([*best.source.arrays])}"
        return CheckpointError(where=where, expected=expected, got=got, do=TO_TENSORS)
    card = described(path)
    of = f", by its card {card}" if card else ""
    do = f"Check architecture, buffer, classes and image size against those it was trained with{of}"
    if 0 < faults.count() == len(faults.shapes) <= 2:  # most likely those of the last layer
        do += ". A network of other classes than the data's is described by `outputs` and `class_map`"
    if faults.count() == len(faults.unexpected) and best.steps:
        do = f"If nothing else belongs to the network, leave it out with `key: {key_text(best.steps)}`"
    elif not faults.count() - len(faults.unread):
        do = "Let `get_extra_state` return numbers, texts, tensors, and lists and mappings of such"
    elif faults.missing and faults.count() == len(faults.missing) and set(faults.missing) <= {*extra}:
        do = "Save it with torch.save(network.state_dict(), FILE): the file has no extra state of its modules"
    elif len(ways := [key_text(s.steps) for s in contents.sets if not s.joined and s.steps]) > 1:
        do += f". `key` chooses one of several sets of weights: {enumeration(ways, most=12)}"
    elif contents.lists:
        do += f". `key` also chooses from the list under `{key_text(contents.lists[0][0])}`"
    return CheckpointError(where=where, expected=expected, got=faults.text(), do=do)
