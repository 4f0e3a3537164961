"""The laws of training defenses: what they do to a small network on data that are easy to learn."""

from __future__ import annotations

import contextlib
import math
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import nn

from robench.conformance.isolation import lent_generators, watched_splits
from robench.conformance.recipes import described, light
from robench.conformance.result import BrokenLawError, InapplicableError, Result, judged, require
from robench.conformance.toys import ToyBranches, toy_data
from robench.data.images import ImageSet
from robench.errors import ConfigError
from robench.model.defense import Defense, DefenseInfo, TrainingContext
from robench.model.interface import predictions
from robench.plurals import counted

STAGES = ("training", "inference")


class StoppedError(Exception):
    """Represents a kill between two epochs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    """The result of one training.

    Attributes:
        network: the trained network.
        history: the history that the defense returned.
        rows: the rows with which `progress` was called.
        moved: the global generators whose state changed.
        splits: the splits of all image sets made during the training.
        intact: whether the data are unchanged.
    """

    network: nn.Module
    history: list[dict[str, float]]
    rows: list[dict[str, float]]
    moved: list[str]
    splits: set[str]
    intact: bool


@dataclass(slots=True)
class TrainingTrial:
    """One training defense under test; the plain training, with which most laws compare, is made once."""

    info_type: ClassVar[type[DefenseInfo]] = DefenseInfo
    recipe: Defense
    noisy: bool = field(default=False, init=False)
    _plain: Trained | None = field(default=None, init=False)

    @property
    def plain(self) -> Trained:
        """A training without a state file; of a noisy network if the defense refuses all others."""
        if self._plain is None:
            try:
                self._plain = self.train()
            except ConfigError:
                self.noisy = True
                self._plain = self.train()
        return self._plain

    def fresh(self) -> ToyBranches:
        """Return the network that is trained, with the same weights every time."""
        return ToyBranches(channels=1, classes=2, noisy=self.noisy)

    def data(self) -> ImageSet:
        """Return the training data; without a third of the labels if the defense needs unlabelled images."""
        data = toy_data()
        return data.withholding(torch.arange(0, 30)) if self.recipe.info.uses_unlabelled else data

    def train(
        self,
        network: nn.Module | None = None,
        *,
        global_seed: int = 0,
        state: Path | None = None,
        model: str = "toy",
        stop: bool = False,
    ) -> Trained:
        """Train once.

        Args:
            network: what to train; a fresh toy by default.
            global_seed: state of the global generators, which must not matter.
            state: the state file.
            model: part of the identity of the trained network.
            stop: stop as a kill would after the first epoch; then StoppedError is raised.
        """
        network = self.fresh() if network is None else network
        data, rows = self.data(), []
        before = data.digest(), data.indices.clone()

        def progress(row: dict[str, float]) -> None:
            rows.append(dict(row))
            if stop and "step" not in row:
                raise StoppedError

        context = TrainingContext(
            seed=1, device="cpu", state=state, identity={"model": model}, progress=progress
        )
        with watched_splits() as splits, lent_generators(global_seed) as generators:
            history = self.recipe(network, data, context=context)
        intact = data.digest() == before[0] and torch.equal(data.indices, before[1])
        return Trained(
            network=network, history=history, rows=rows, moved=generators, splits=splits, intact=intact
        )


def training_laws(recipe: Defense) -> Iterator[Result]:
    """Check every law of training defenses on one recipe, one by one."""
    rest: list[Callable[[TrainingTrial], str]] = [
        seed,
        chance,
        data,
        test_split,
        network,
        progress,
        resume,
        identity,
    ]
    return judged(TrainingTrial(recipe), first=[described, stage, light], gate=trains, rest=rest)


def stage(trial: TrainingTrial) -> str:
    """It says whether it belongs to training or to inference."""
    stage = trial.recipe.info.stage
    require(stage in STAGES, f"info.stage is {stage!r}, not one of {', '.join(STAGES)}")
    return stage


def trains(trial: TrainingTrial) -> str:
    """It changes the weights in place and returns a row of finite numbers for every epoch."""
    training = trial.plain
    require(
        isinstance(training.history, list) and bool(training.history), f"the history is {training.history!r}"
    )
    for number, row in enumerate(training.history, start=1):
        for name, value in row.items():
            finite = isinstance(value, int | float) and math.isfinite(value)
            require(finite, f"row {number}: {name} is {value!r}")
    before, after = trial.fresh().state_dict(), training.network.state_dict()
    names = [name for name, value in after.items() if not torch.equal(value, before.get(name, value))]
    bad = [name for name, value in after.items() if not bool(torch.isfinite(value).all())]
    require(not bad, f"NaN or infinite weights: {', '.join(bad)}")
    require(bool(names), "no weight of the network it was given has changed")
    x, y = toy_data().batch(slice(None))
    with torch.no_grad():
        right = float((predictions(training.network.eval()(x)) == y).float().mean())
    return f"{counted(len(training.history), 'epoch')}, accuracy {right:.2f} on the toy data"


def seed(trial: TrainingTrial) -> str:
    """The same seed gives the same weights, bit for bit."""
    _same_weights(trial.plain.network, trial.train().network, "two trainings with one seed")
    return ""


def chance(trial: TrainingTrial) -> str:
    """The global generators of torch, NumPy and Python are neither moved nor used."""
    other = trial.train(global_seed=1)
    require(not other.moved, f"moved: {', '.join(other.moved)}; derive everything from context.seed")
    _same_weights(trial.plain.network, other.network, "two states of the global generators")
    return ""


def data(trial: TrainingTrial) -> str:
    """The training data are not written to."""
    require(trial.plain.intact, "images, labels or indices have changed")
    return ""


def test_split(trial: TrainingTrial) -> str:
    """The test split is never loaded or made."""
    others = sorted(trial.plain.splits - {"train"})
    require(not others, f"image sets of the split {', '.join(map(repr, others))} were made")
    return "Watched: every ImageSet made while it trains"


def network(trial: TrainingTrial) -> str:
    """The network keeps its modes, keys, shapes and requires_grad, and no .grad is left."""
    target = trial.fresh()
    target.buffer.eval()
    target.get_parameter("backbone.0.bias").requires_grad_(False)
    before = _form(target)
    trial.train(target)
    after = _form(target)
    names = sorted(before.keys() | after.keys())
    wrong = [
        f"{name} {before.get(name)} -> {after.get(name)}"
        for name in names
        if before.get(name) != after.get(name)
    ]
    require(not wrong, "; ".join(wrong[:3]))
    return ""


def progress(trial: TrainingTrial) -> str:
    """Progress is reported after every epoch, with that epoch's row of the history."""
    training = trial.plain
    untold = [number for number, row in enumerate(training.history, start=1) if row not in training.rows]
    require(not untold, f"{len(training.rows)} calls, none with row {untold[:1]} of {len(training.history)}")
    return f"{len(training.rows)} calls for {counted(len(training.history), 'epoch')}"


def resume(trial: TrainingTrial) -> str:
    """A training that is killed and goes on from its state file ends with the same weights."""
    with tempfile.TemporaryDirectory() as folder:
        state = Path(folder) / "state"
        _interrupted(trial, state)
        second = trial.train(state=state)
        _same_weights(trial.plain.network, second.network, "an uninterrupted and a resumed training")
        count = len(second.history)
        require(
            count == len(trial.plain.history),
            f"{counted(count, 'row')} of history, not {len(trial.plain.history)}",
        )
    return "Killed after the first epoch"


def identity(trial: TrainingTrial) -> str:
    """A state file of another training is refused with a ConfigError."""
    with tempfile.TemporaryDirectory() as folder:
        state = Path(folder) / "state"
        _interrupted(trial, state)
        try:
            trial.train(state=state, model="another")
        except ConfigError as refusal:
            return str(refusal)[len(str(state)) :].lstrip(": ")
        raise BrokenLawError("it went on from the state of another identity")


def _interrupted(trial: TrainingTrial, state: Path) -> None:
    """Leave a state after one epoch; InapplicableError if the defense writes none."""
    with contextlib.suppress(StoppedError):
        trial.train(state=state, stop=True)
    if not state.exists():
        raise InapplicableError("It writes no state file")


def _same_weights(one: nn.Module, other: nn.Module, what: str) -> None:
    theirs = other.state_dict()
    wrong = [
        name for name, value in one.state_dict().items() if not torch.equal(value, theirs.get(name, value))
    ]
    require(not wrong, f"{what} differ in {', '.join(wrong[:3])}")


def _form(target: nn.Module) -> dict[str, Any]:
    """Return everything about a network but its numbers, by name."""
    state: dict[str, Any] = {}
    for name, value in target.state_dict().items():
        state[name] = (tuple(value.shape), value.stride(), str(value.dtype))
    for name, parameter in target.named_parameters():
        state[f"{name}.requires_grad"] = parameter.requires_grad
        state[f"{name}.grad"] = parameter.grad is not None
    for name, part in target.named_modules():
        state[f"{name or 'network'}.training"] = part.training
        state[f"{name or 'network'}.hooks"] = len(part._forward_hooks) + len(part._forward_pre_hooks)
    return state
