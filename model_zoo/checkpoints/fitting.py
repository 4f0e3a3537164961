"""Finds the weights of a network in a file by trying every way of reading them; says why if none fits."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from model_zoo.checkpoints.beside_tensors import is_extra_state, same_data
from model_zoo.checkpoints.cards import described
from model_zoo.checkpoints.fits import Fit, Network, Selection
from model_zoo.checkpoints.key_layouts import statistics_of_another
from model_zoo.checkpoints.reparametrized import foreign
from model_zoo.checkpoints.set_fitting import equal_tensors, fits_of
from model_zoo.checkpoints.untrusted_weights import TO_TENSORS, enumeration
from model_zoo.checkpoints.weight_sets import Contents, rank
from robench.errors import CheckpointError
from robench.plan.weights_path import key_text

_MOST_SETS = 64
"""If a file has more sets of weights, only the largest are tried."""


def best_fit(contents: Contents, network: Network, *, path: Path, key: bool) -> Selection:
    """Return the weights in a file that fit a network.

    If several sets fit, sets whose path has no name of an average, a teacher or another epoch come first,
    then the order of `weight_sets.FIRST` decides, then the order in the file.

    Args:
        contents: all sets of weights in the file, or in the part that the user chose.
        network: the network that gets them.
        path: the file.
        key: whether the user chose a part.

    Raises:
        CheckpointError: no set fits; says what is wrong with the closest one.
    """
    twins = network.twins()
    sets = sorted(contents.sets, key=lambda s: (s.joined, *rank(s.steps)))
    if len(sets) > _MOST_SETS:
        sets = sorted(sets, key=lambda s: -len(s.tensors))[:_MOST_SETS]
    fits: list[Fit] = []
    for is_joint in (False, True):
        if not any(fit.faults.count() == 0 for fit in fits):
            for source in (s for s in sets if s.joined == is_joint):
                fits += fits_of(source, network, twins, where=str(path))
    good = [fit for fit in fits if not fit.faults.count()]
    if not good:
        raise _refusal(fits, contents, network, path)
    order = {id(fit): place for place, fit in enumerate(good)}
    good.sort(key=lambda fit: (*rank(fit.steps), order[id(fit)]))
    best, *others = good
    for above in contents.sets:
        if not above.joined and above.steps == best.source.steps[: len(above.steps)] != best.source.steps:
            refusal = statistics_of_another(above.tensors, network.normalize, where=str(path))
            if refusal is not None and network.layouts:
                raise refusal
    rivals = [fit for fit in others if not _same(fit, best)]
    notes = [*best.notes]
    if rivals:
        keys = [f"`key: {key_text(fit.steps)}`" for fit in rivals]
        place = f"under `{key_text(best.steps)}`" if best.steps else "at the top of the file"
        notes.insert(
            0, f"took the weights {place}; the file has others that fit: {' or '.join(keys)} takes them"
        )
    within = {s.steps[len(best.source.steps)] for s in contents.sets if len(s.steps) > len(best.source.steps)}
    if others_than_tensors := [name for name in _left_out(best) if name not in within]:
        notes.append(f"ignored entries that are not tensors: {enumeration(others_than_tensors)}")
    fitting = {fit.source.steps for fit in good}
    strangers = [
        key_text(s.steps)
        for s in contents.sets
        if not s.joined
        and s.steps not in fitting
        and s.steps[: len(best.steps)] != best.steps
        and any(name.endswith("weight") for name in s.tensors)
    ]
    if strangers and not best.source.joined:
        notes.append(f"ignored the weights under {enumeration(strangers)}: they do not fit this network")
    if best.source.is_malformed:
        notes.append("ignored the versions of modules in the file: they are not in PyTorch's format")
    return Selection(
        state=best.state,
        notes=tuple(notes),
        others=best.others,
        versions=best.versions,
        key=key_text(best.steps) if rivals or key else "",
    )


def _refusal(fits: Sequence[Fit], contents: Contents, network: Network, path: Path) -> CheckpointError:
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


def _left_out(fit: Fit) -> list[str]:
    """Return the names of entries beside the weights that are not tensors and not given to the network."""
    before = "".join(f"{name}." for name in fit.reading.prefix)
    extra = (n for n in fit.source.others if is_extra_state(n) and n.startswith(before))
    return [name for name in (*fit.source.beside, *extra) if name not in fit.taken]


def _same(one: Fit, other: Fit) -> bool:
    is_equal = all(equal_tensors(tensor, other.state[name]) for name, tensor in one.state.items())
    return is_equal and same_data(one.others, other.others)
