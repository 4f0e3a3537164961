"""How published checkpoints name their weights, and how those names become ours: all rules in one place.

Everything that a rule drops or fills in is recorded as a note, and entries without a rule are not changed, so
that the loader refuses them by name.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice

import torch
from torch import Tensor

from model_zoo.checkpoints.reparametrized import is_plain, put_together
from model_zoo.checkpoints.weight_sets import FIRST, is_second
from robench.errors import CheckpointError

State = dict[str, Tensor]

_INSIDE = ("_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module", "module")
"""Parts that torch.compile, FSDP, activation checkpoints and DataParallel add to a name, at any place."""
_CLASSIFIERS = ("linear", "fc", "classifier", "classifier.fc3")
"""Names of the last layer."""
_STATISTICS = tuple(
    (f"{layer}{mean}", f"{layer}{std}")
    for layer in ("", "normalize.", "normalizer.", "normalization.", "norm.", "0.")
    for mean, std in (("mu", "sigma"), ("mean", "std"))
)
"""Buffers of the normalisation; RobustBench's `normalize_model` has a layer of its own beside `model.`."""
_RENAMES = (
    (re.compile(r"^(block\d)\.layer\."), r"\1."),  # WideResNet of TRADES and RobustBench
    (re.compile(r"\.convShortcut\."), ".shortcut.0."),
    *(  # Small-CNN of TRADES
        (re.compile(rf"^{old}\."), f"{new}.")
        for old, new in {
            r"feature_extractor\.conv1": "convolutions.0",
            r"feature_extractor\.conv2": "convolutions.2",
            r"feature_extractor\.conv3": "convolutions.5",
            r"feature_extractor\.conv4": "convolutions.7",
            r"classifier\.fc1": "dense.0",
            r"classifier\.fc2": "dense.3",
        }.items()
    ),
)
_UNUSED = ("sub_block1.", "block1.")
"""A copy of `block1` that the WideResNet of TRADES makes and never runs (RobustBench: `sub_block1=True`)."""
_MOST_CHANNELS = 16
"""With more numbers, `mean` and `std` are not a normalisation of pixels."""
_COUNTER = "num_batches_tracked"
_EXTRA = re.compile(
    r"(.*_)?(criterion|loss|losses|loss_?fn|loss_func(tion)?|teacher|ema|swa|metrics?|acc|accuracy|auroc)\d*(_.*)?"
)
"""Modules beside a network in the state of a training: left out, with a note."""
_METADATA = re.compile(
    r"n_averaged|epochs?|(global_)?step|steps|iter(ation)?s?|(best_|test_|val_)?(acc|acc1|prec1|loss)|lr|seed"
)
"""Tensors in a state_dict that describe the progress of the training."""
_DEEPEST = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """One way of reading a set of weights: the whole set, or the entries below a name.

    Attributes:
        prefix: the names before.
        state: the entries below, with the rest of their names.
        beside: full name of each entry that is left out, to the name of its module.
    """

    prefix: tuple[str, ...] = ()
    state: State
    beside: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Translated:
    """A state_dict under a network's own names.

    Attributes:
        state: name to tensor.
        notes: what was dropped or filled in, one sentence part each.
        refusal: the error to raise if everything else fits: the file has another normalisation.
    """

    state: State
    notes: tuple[str, ...] = ()
    refusal: CheckpointError | None = None


_MOST_HEADS = 256
"""Most prefixes that are tried; a network has fewer parts."""


def readings(state: State) -> Iterator[Reading]:
    """Yield the ways of reading a set of weights, the whole first.

    A common prefix of all names is removed, whatever it is; if there are other entries beside it, it must be
    a known name of a network in a training (`module`, `model`, `student`, `ema`, ...).
    """
    yield from _readings(Reading(state=state))


def _readings(whole: Reading) -> Iterator[Reading]:
    yield whole
    if len(whole.prefix) >= _DEEPEST:
        return
    statistics = {name for pair in _STATISTICS if all(name in whole.state for name in pair) for name in pair}
    names = [name for name in whole.state if name not in statistics]
    heads = dict.fromkeys(name.partition(".")[0] for name in names if "." in name)
    for head in islice(heads, _MOST_HEADS):
        below = {n.removeprefix(f"{head}."): whole.state[n] for n in names if n.startswith(f"{head}.")}
        rest = [name for name in names if not name.startswith(f"{head}.")]
        alone = all(_METADATA.fullmatch(name) for name in rest)
        if not alone and head not in FIRST and not is_second(head) and not _EXTRA.fullmatch(head):
            continue
        before = "".join(f"{name}." for name in whole.prefix)
        yield from _readings(
            Reading(
                prefix=(*whole.prefix, head),
                state={name: whole.state[name] for name in statistics if name not in below} | below,
                beside=whole.beside | {f"{before}{name}": name.partition(".")[0] for name in rest},
            )
        )


def is_extra(name: str, module: str) -> bool:
    """Tell whether a tensor may stand beside a network's weights and be left out.

    Args:
        name: its full name.
        module: the part of the name that names its module, or the last part if it is not in a module.
    """
    single = name.rpartition(".")[2] == module
    return bool(_EXTRA.fullmatch(module) or (single and _METADATA.fullmatch(module)))


def statistics_of_another(
    state: Mapping[str, Tensor], normalize: tuple[Tensor, Tensor] | None, *, where: str
) -> CheckpointError | None:
    """Return the error about a normalisation beside a set of weights, None if there is no conflict."""
    return _take_statistics(dict(state), {}, normalize, where=where)[1]


def translated(
    state: Mapping[str, Tensor],
    own: Mapping[str, Tensor],
    *,
    normalize: tuple[Tensor, Tensor] | None,
    where: str,
) -> Translated:
    """Put a state_dict of a known layout under a network's own names.

    Args:
        state: as in the file, without the common prefix of all names.
        own: the network's state_dict.
        normalize: (mean, standard deviation) configured for the network, None for none.
        where: the file, for the message.

    Returns:
        The renamed state_dict; it still has unknown keys, and lacks the keys that the file lacks.
    """
    target = dict(state)
    if target.keys() == own.keys():
        return Translated(state=target)
    target, notes = put_together(_without_wrappers(target, own), own)
    branches = "linear.weight" in own and any(name.startswith("backbone.") for name in own)
    ours = any(name.startswith("backbone.") for name in target)
    statistics, refusal = _take_statistics(
        target, own if ours or not branches else {}, normalize, where=where
    )
    if branches and not ours:
        notes += _drop_unused(target)
        target = _in_branches(target, own)
        if normalize is not None:
            target |= {name: own[name] for name in ("normalize.mean", "normalize.std")}
            if not statistics:
                notes.append("kept the configured normalisation: the file has none")
    return Translated(state=target, notes=(*notes, *_count(target, own)), refusal=refusal)


def _without_wrappers(state: State, own: Mapping[str, Tensor]) -> State:
    """Remove parts of names from wrappers, unless the network has them or two names would become equal."""
    drop = wrappers(state, own)
    return {_without(name, drop): tensor for name, tensor in state.items()}


def wrappers(state: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> frozenset[str]:
    """Return the parts of names from wrappers, which are left out; none if two names would become equal."""
    mine = {part for name in own for part in name.split(".")}
    drop = frozenset(part for part in _INSIDE if part not in mine)
    short_names = {_without(name, drop) for name in state}
    return drop if len(short_names) == len(state) and "" not in short_names else frozenset()


def _without(name: str, drop: frozenset[str]) -> str:
    return ".".join(part for part in name.split(".") if part not in drop)


def is_backbone_of(state: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> bool:
    """Tell whether the names are those of a backbone, or of another's classifier, and ours has branches."""
    branches = "linear.weight" in own and any(name.startswith("backbone.") for name in own)
    return branches and not any(name.startswith("backbone.") for name in state)


def _count(state: State, own: Mapping[str, Tensor]) -> list[str]:
    """Fill in the counters of batches that a file lacks, and remove those that the network lacks."""
    notes = []
    counters = [name for name in state if name.endswith(_COUNTER) and name not in own]
    lacking = [
        name
        for name in own
        if name.endswith(_COUNTER)
        and name not in state
        and name.removesuffix(_COUNTER) + "running_mean" in state
    ]
    for name in counters:
        del state[name]
    for name in lacking:
        state[name] = own[name]
    if counters:
        notes.append(f"dropped {len(counters)} x {_COUNTER}: the network has none")
    if lacking:
        notes.append(f"filled in {len(lacking)} x {_COUNTER}: files of PyTorch before 0.4.1 have none")
    return notes


def _take_statistics(
    state: State, own: Mapping[str, Tensor], normalize: tuple[Tensor, Tensor] | None, *, where: str
) -> tuple[bool, CheckpointError | None]:
    """Remove the buffers of a normalisation; return whether there were any, and an error if unlike ours."""
    pair = next((p for p in _STATISTICS if p[0] in state and p[1] in state and p[0] not in own), None)
    if pair is None or not all(is_plain(state[name]) for name in pair):
        return False, None
    if max(state[name].numel() for name in pair) > _MOST_CHANNELS:
        return False, None
    from_file = tuple(state.pop(name).detach().flatten().float() for name in pair)
    from_plan = (torch.zeros(1), torch.ones(1)) if normalize is None else normalize
    for one, other in zip(from_file, from_plan, strict=True):
        expected = other.detach().cpu().flatten()
        if len(expected) not in (1, len(one)) or not torch.allclose(one, expected.expand_as(one), atol=1e-6):
            statistics = [[round(float(number), 6) for number in numbers] for numbers in from_file]
            return True, CheckpointError(
                where=where,
                expected="the normalisation of the configuration",
                got=f"weights made for mean {statistics[0]} and standard deviation {statistics[1]}",
                do=f"Set `normalize: {statistics}`",
            )
    return True, None


def _drop_unused(state: State) -> list[str]:
    """Remove the block that is never run, if it has the same layers as the one that is run."""
    prefix, running = _UNUSED
    twins = {name: running + name.removeprefix(prefix) for name in state if name.startswith(prefix)}
    if not twins or any(t not in state or state[t].shape != state[n].shape for n, t in twins.items()):
        return []
    for name in twins:
        del state[name]
    return [f"dropped {len(twins)} keys {prefix}*: the published network never runs that block"]


def _in_branches(state: State, own: Mapping[str, Tensor]) -> State:
    """Give names of a backbone and a linear branch; a name without a counterpart is not changed."""
    new_state: State = {}
    layers = {name.rpartition(".")[0] for name in state}
    # One `Sequential`: its layers have numbers for names, and the last one is the linear branch.
    has_numbers = bool(layers) and all(layer.isdecimal() for layer in layers)
    classifiers = (*_CLASSIFIERS, max(layers, key=int)) if has_numbers else _CLASSIFIERS
    for name, tensor in state.items():
        layer, _, rest = name.rpartition(".")
        inner = name
        for pattern, replacement in _RENAMES:
            inner = pattern.sub(replacement, inner)
        goal = f"linear.{rest}" if layer in classifiers else f"backbone.{inner}"
        new_state[goal if goal in own else name] = tensor
    return new_state
