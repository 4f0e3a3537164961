"""How published checkpoints name their weights, and how those names become ours: all rules in one place.

Nothing is left out in silence: whatever a rule drops or fills in is noted, and what no rule knows stays where
it is, for the loader to refuse by name.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from robench.errors import CheckpointError

State = dict[str, Tensor]

WRAPPERS = ("state_dict", "model_state_dict", "net", "model")
"""Under which of these a checkpoint file may keep its state_dict."""
_PREFIXES = ("module.", "model.", "net.", "_orig_mod.")
"""What DataParallel, RobustBench's wrappers and torch.compile put before every key."""
_CLASSIFIERS = ("linear", "fc", "classifier", "classifier.fc3")
"""Names of the last layer."""
_STATISTICS = (("mu", "sigma"), ("mean", "std"), ("normalize.mean", "normalize.std"))
"""Buffers of the normalisation; the last two stand beside `model.` in RobustBench's `normalize_model`."""
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
_COUNTER = "num_batches_tracked"


@dataclass(frozen=True, slots=True, kw_only=True)
class Translated:
    """A state_dict under a network's own names.

    Attributes:
        state: name to tensor.
        notes: what was dropped or filled in, one sentence part each.
    """

    state: State
    notes: tuple[str, ...] = ()


def translated(
    state: Mapping[str, Tensor],
    own: Mapping[str, Tensor],
    *,
    normalize: tuple[Tensor, Tensor] | None,
    where: str,
) -> Translated:
    """Put a state_dict of a known layout under a network's own names.

    Args:
        state: as the file has it.
        own: the network's state_dict.
        normalize: (mean, standard deviation) configured for the network, None for none.
        where: the file, for the message.

    Returns:
        The renamed state_dict; with unknown keys still in it, and without those the file lacks.

    Raises:
        CheckpointError: the file has statistics of a normalisation other than the configured one.
    """
    found = _without_prefixes(dict(state), own)
    if found.keys() == own.keys():
        return Translated(state=found)
    notes: list[str] = []
    branches = "linear.weight" in own and any(name.startswith("backbone.") for name in own)
    if not any(name.startswith("backbone.") for name in found):
        carried = _take_statistics(found, {} if branches else own, normalize, where=where)
        if branches:
            notes += _drop_unused(found)
            found = _in_branches(found, own)
        if branches and normalize is not None:
            found |= {name: own[name] for name in ("normalize.mean", "normalize.std")}
            if not carried:
                notes.append("kept the configured normalisation: the file has none")
    counters = [name for name in own if name.endswith(_COUNTER)]
    if counters and not any(name.endswith(_COUNTER) for name in found):
        found |= {name: own[name] for name in counters}
        notes.append(f"filled in {len(counters)} x {_COUNTER}: files of PyTorch before 0.4.1 have none")
    return Translated(state=found, notes=tuple(notes))


def _without_prefixes(state: State, own: Mapping[str, Tensor]) -> State:
    """Remove what stands before every key, unless the network's own keys have it too."""
    beside = {name for pair in _STATISTICS for name in pair}
    while state.keys() != own.keys():
        names = [name for name in state if name not in beside]
        prefix = next((p for p in _PREFIXES if names and all(name.startswith(p) for name in names)), None)
        if prefix is None or all(name.startswith(prefix) for name in own):
            break
        state = {name.removeprefix(prefix): tensor for name, tensor in state.items()}
    return state


def _take_statistics(
    state: State, own: Mapping[str, Tensor], normalize: tuple[Tensor, Tensor] | None, *, where: str
) -> bool:
    """Compare the buffers of a normalisation, remove them, and say whether there were any."""
    pair = next((p for p in _STATISTICS if p[0] in state and p[1] in state), None)
    if pair is None or pair[0] in own:
        return False
    stored = tuple(state[name].detach().flatten().float() for name in pair)
    wanted = (torch.zeros(1), torch.ones(1)) if normalize is None else normalize
    for one, other in zip(stored, wanted, strict=True):
        expected = other.detach().cpu().flatten()
        if len(expected) not in (1, len(one)) or not torch.allclose(one, expected.expand_as(one), atol=1e-6):
            listed = [[round(float(number), 6) for number in numbers] for numbers in stored]
            raise CheckpointError(
                where=where,
                expected="the normalisation of the configuration",
                got=f"weights made for mean {listed[0]} and standard deviation {listed[1]}",
                do=f"Set `normalize: {listed}`",
            )
    for name in pair:
        del state[name]
    return True


def _drop_unused(state: State) -> list[str]:
    """Remove the block that is never run, if it is indeed a twin of the one that is."""
    unused, used = _UNUSED
    twins = {name: used + name.removeprefix(unused) for name in state if name.startswith(unused)}
    if not twins or any(t not in state or state[t].shape != state[n].shape for n, t in twins.items()):
        return []
    for name in twins:
        del state[name]
    return [f"dropped {len(twins)} keys {unused}*: the published network never runs that block"]


def _in_branches(state: State, own: Mapping[str, Tensor]) -> State:
    """Give names of a backbone and a linear branch; a name that leads nowhere stays as it is."""
    renamed: State = {}
    layers = {name.rpartition(".")[0] for name in state}
    # One `Sequential`: its layers have numbers for names, and the last one is the linear branch.
    numbered = bool(layers) and all(layer.isdecimal() for layer in layers)
    classifiers = (*_CLASSIFIERS, max(layers, key=int)) if numbered else _CLASSIFIERS
    for name, tensor in state.items():
        layer, _, rest = name.rpartition(".")
        inner = name
        for pattern, replacement in _RENAMES:
            inner = pattern.sub(replacement, inner)
        goal = f"linear.{rest}" if layer in classifiers else f"backbone.{inner}"
        renamed[goal if goal in own else name] = tensor
    return renamed
