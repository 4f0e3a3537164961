"""The loop every training defense shares: stages, checkpoint choice, resume.

Every random choice is a function of (seed, epoch, step or image), never of a global generator.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from defenses.training.averaging import Average
from defenses.training.distributed import check_shares, in_step, look_together, standing_together
from defenses.training.epochs import Run
from defenses.training.network_state import frozen_except, prepared
from defenses.training.objective import Objective, Stage, Stateful
from defenses.training.optimizers import optimizer_of
from defenses.training.options import TrainingOptions
from defenses.training.precision import check_precision
from defenses.training.processes import World, join
from defenses.training.split import split
from defenses.training.training_state import TrainingState, Weights, load_state, save_state
from robench.data.images import ImageSet
from robench.model.defense import TrainingContext
from robench.recipe import identity_of
from robench.record.training_history import write_history


def train(
    network: nn.Module,
    data: ImageSet,
    objective: Objective,
    *,
    options: TrainingOptions,
    context: TrainingContext,
    replays: int = 1,
) -> list[dict[str, float]]:
    """Train `network` in place and return one row of history per epoch; see `train_stages`.

    Args:
        network: images in [0, 1] to logits (B, K).
        data: the training split or a subset of it; part of it is held out.
        objective: what to minimise; it may hold `network`.
        options: the recipe; all its options are part of the state's identity.
        context: seed, device, state file, progress.
        replays: steps in a row on each batch.

    Raises:
        JobError: the loss stopped being a number.
        ConfigError: the state belongs to another training, or the network has nothing to train.
        InputError: too few images to hold some out.
    """
    learner, held_out = split(data, options.validation, context.seed)
    stage = Stage(network=network, objective=objective, options=options, learner=learner, replays=replays)
    return train_stages(
        [stage], network=network, data=data, held_out=held_out, options=options, context=context
    )


def train_stages(
    stages: Sequence[Stage],
    *,
    network: nn.Module,
    data: ImageSet,
    held_out: ImageSet | None,
    options: TrainingOptions,
    context: TrainingContext,
) -> list[dict[str, float]]:
    """Train stage after stage, each from the weights the one before chose, and return the history.

    The columns of a row are those of `robench.record.training_history`. The network comes back on
    `context.device`, each of its parts in the mode it had, with the weights that `keep` asks for;
    `context.last` is given those of the last epoch.

    Args:
        stages: what to do in turn.
        network: all that any stage trains or needs the weights of; one module, saved whole.
        data: the training split or a subset of it, for the state's identity.
        held_out: rows to choose checkpoints by.
        options: the recipe; all its options are part of the state's identity.
        context: seed, device, state file, progress.

    Raises:
        JobError: the loss stopped being a number.
        ConfigError: the state belongs to another training, or a stage has nothing to train.
        DeviceError: the device does not compute in the precision asked for.
    """
    device = torch.device(context.device)
    check_precision(options.precision, device)
    world = join(device)
    check_shares(world, stages)
    context = world.context(context)
    identity = _identity(network, data, options, context, world)
    with standing_together(world), prepared(network, device) as layout:
        for stage in stages:
            optimizer_of(_parameters(stage), stage.options)  # refuses a network with nothing to train
        state = world.first(lambda: load_state(context.state, identity) if context.state else None)
        if state:
            network.load_state_dict(state.network)
            _record(state, context)  # a kill may have come between the state and the history
        else:
            state = TrainingState(identity=identity, epoch=0, network={}, optimizer={})
        held_out = _placed(held_out, context.device) if held_out else None
        before = 0
        for number, stage in enumerate(stages, start=1):
            if state.epoch <= before + stage.options.epochs:
                label = {"stage": float(number)} if len(stages) > 1 else {}
                label |= {"processes": float(world.count)} if world.count > 1 else {}
                last = _train_stage(stage, before, label, network, held_out, state, layout, context, world)
                if stage is stages[-1] and context.last:
                    context.last(last)
            before += stage.options.epochs
    return state.history


def _train_stage(
    stage: Stage,
    before: int,
    label: dict[str, float],
    whole: nn.Module,
    held_out: ImageSet | None,
    state: TrainingState,
    layout: torch.memory_format,
    context: TrainingContext,
    world: World,
) -> Weights:
    """Run the epochs of a stage that are still to come, put its chosen weights into its network.

    Returns:
        The weights of its last epoch.
    """
    with frozen_except(stage.network, _parameters(stage)), in_step(world, stage) as loss:
        optimizer = optimizer_of(_parameters(stage), stage.options)
        average, objective = Average(stage.options), stage.objective
        if state.epoch > before:
            optimizer.load_state_dict(state.optimizer)
            average.weights = {name: value.to(context.device) for name, value in state.average.items()}
            average.count = state.averaged
            if isinstance(objective, Stateful):
                objective.restore(world.own(state.objective))
        else:
            state.best, state.score = None, -1.0
        run = Run(stage, before, context, layout, optimizer, average, loss, world)
        learner = _placed(stage.learner, context.device)
        while state.epoch < before + stage.options.epochs:
            started = time.perf_counter()
            row = run.epoch(learner, state.epoch) | label
            with average.applied(stage.network, learner, layout):
                if held_out:
                    verdict = look_together(world, stage, held_out, seed=context.seed, layout=layout)
                    row |= verdict.row()
                    if stage.options.keep == "best":
                        row["best"] = float(verdict.score > state.score)
                        if row["best"]:
                            state.best, state.score = _copied(stage.network.state_dict()), verdict.score
            row["seconds"] = time.perf_counter() - started
            state.epoch += 1
            state.history.append(row)
            state.network, state.optimizer = whole.state_dict(), optimizer.state_dict()
            state.average, state.averaged = average.weights, average.count
            state.objective = world.gathered(objective.state()) if isinstance(objective, Stateful) else {}
            if context.state:
                save_state(context.state, state)
            _record(state, context)
            context.progress(row)
        with average.applied(stage.network, learner, layout):
            last = _copied(stage.network.state_dict())
        stage.network.load_state_dict(last if state.best is None else state.best)
        world.level(stage.network.state_dict().values())
    return last


def _record(state: TrainingState, context: TrainingContext) -> None:
    if context.history:
        write_history(context.history, state.history)


def _parameters(stage: Stage) -> Sequence[nn.Parameter]:
    return list(stage.network.parameters()) if stage.parameters is None else stage.parameters


def _identity(
    network: nn.Module, data: ImageSet, options: TrainingOptions, context: TrainingContext, world: World
) -> dict[str, Any]:
    """Return everything that decides what the weights become."""
    whole = {
        "identity": context.identity,
        "seed": context.seed,
        "defense": {"recipe": type(options).__name__, **identity_of(options)},
        "data": {"name": data.name, "images": len(data), "sha256": data.digest()},
        "network": {name: list(tensor.shape) for name, tensor in network.state_dict().items()},
    }
    if world.count > 1:
        whole["processes"] = world.count
    plain: dict[str, Any] = json.loads(json.dumps(whole, default=lambda value: type(value).__qualname__))
    return plain


def _placed(data: ImageSet, device: str) -> ImageSet:
    return replace(
        data,
        images=data.images.to(device),
        labels=data.labels.to(device),
        indices=data.indices.to(device),
    )


def _copied(weights: Weights) -> Weights:
    return {name: tensor.detach().clone() for name, tensor in weights.items()}
