"""The loop that every training defense shares: stages, checkpoint choice, resume.

Every random choice is a function of (seed, epoch, step or image), never of a global generator.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import nn

from defenses.training.averaging import Average
from defenses.training.distributed import (
    check_batch_sizes,
    fail_together,
    synchronised_loss,
    validate_together,
)
from defenses.training.epochs import StageRun, TrainingSettings
from defenses.training.network_state import frozen_except, training_layout
from defenses.training.objective import Objective, Stage, Stateful
from defenses.training.options import TrainingOptions, optimizer_of
from defenses.training.precision import check_precision
from defenses.training.processes import ProcessGroup, join_processes
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
        data: the training split or a subset of it (N, C, H, W); part of it is held out.
        objective: the objective to minimise; it may contain `network`.
        options: the recipe; all its options are part of the state's identity.
        context: seed, device, state file, progress.
        replays: steps in a row on each batch.

    Raises:
        JobError: the loss stopped being a number.
        ConfigError: the state belongs to another training, or the network has nothing to train.
        InputError: too few images to hold some out.
    """
    training_set, validation_set = split(data, options.validation, context.seed)
    stage = Stage(
        network=network, objective=objective, options=options, training_set=training_set, replays=replays
    )
    return train_stages(
        [stage], network=network, data=data, validation_set=validation_set, options=options, context=context
    )


def train_stages(
    stages: Sequence[Stage],
    *,
    network: nn.Module,
    data: ImageSet,
    validation_set: ImageSet | None,
    options: TrainingOptions,
    context: TrainingContext,
) -> list[dict[str, float]]:
    """Train stage after stage, each from the chosen weights of the previous one; return the history.

    The columns of a row are those of `robench.record.training_history`. The network comes back on
    `context.device`, each of its parts in the mode it had, with the weights that `keep` asks for;
    `context.last` is given those of the last epoch.

    Args:
        stages: the stages, in order.
        network: one module with all weights that any stage trains or needs; saved completely.
        data: the training split or a subset of it (N, C, H, W), for the state's identity.
        validation_set: the held-out part (M, C, H, W), to choose checkpoints by.
        options: the recipe; all its options are part of the state's identity.
        context: seed, device, state file, progress.

    Raises:
        JobError: the loss stopped being a number.
        ConfigError: the state belongs to another training, or a stage has nothing to train.
        CheckpointError: the state file is damaged.
        DeviceError: the device does not support the requested precision.
        StorageError: the state could not be written.
    """
    device = torch.device(context.device)
    check_precision(options.precision, device)
    group = join_processes(device)
    check_batch_sizes(group, stages)
    context = group.context(context)
    identity = _identity(network, data, options, context, group)
    with fail_together(group), training_layout(network, device) as layout:
        for stage in stages:
            optimizer_of(stage.trained, stage.options)  # refuses a network with nothing to train
        state = group.from_first(lambda: load_state(context.state, identity) if context.state else None)
        if state:
            network.load_state_dict(state.network)
            _write_history(state, context)  # a kill may have come between the state and the history
        else:
            state = TrainingState(identity=identity, epoch=0, network={}, optimizer={})
        settings = TrainingSettings(
            network=network,
            validation_set=_on_device(validation_set, device) if validation_set else None,
            context=context,
            layout=layout,
            group=group,
        )
        first_epoch = 0
        for number, stage in enumerate(stages, start=1):
            if state.epoch <= first_epoch + stage.options.epochs:
                columns = {"stage": float(number)} if len(stages) > 1 else {}
                columns |= {"processes": float(group.size)} if group.size > 1 else {}
                last = _train_stage(stage, first_epoch, settings, state, columns)
                if stage is stages[-1] and context.last:
                    context.last(last)
            first_epoch += stage.options.epochs
    return state.history


def _train_stage(
    stage: Stage,
    first_epoch: int,
    settings: TrainingSettings,
    state: TrainingState,
    columns: dict[str, float],
) -> Weights:
    """Run the remaining epochs of a stage, and put its chosen weights into its network.

    Args:
        stage: the stage.
        first_epoch: number of epochs of the earlier stages.
        settings: settings of the whole training.
        state: updated after every epoch.
        columns: additional columns of its rows of the history.

    Returns:
        The weights (name to tensor) of its last epoch.
    """
    context, group, objective = settings.context, settings.group, stage.objective
    with frozen_except(stage.network, stage.trained), synchronised_loss(group, stage) as loss:
        optimizer = optimizer_of(stage.trained, stage.options)
        average = Average(stage.options)
        if state.epoch > first_epoch:
            optimizer.load_state_dict(state.optimizer)
            average.weights = {name: value.to(context.device) for name, value in state.average.items()}
            average.count = state.averaged
            if isinstance(objective, Stateful):
                objective.restore(group.own_state(state.objective))
        else:
            state.best, state.score = None, -1.0
        run = StageRun(
            stage=stage,
            first_epoch=first_epoch,
            settings=settings,
            optimizer=optimizer,
            average=average,
            loss=loss,
        )
        training_set = _on_device(stage.training_set, torch.device(context.device))
        while state.epoch < first_epoch + stage.options.epochs:
            start = time.perf_counter()
            row = run.epoch(training_set, state.epoch) | columns
            with average.applied(stage.network, training_set, settings.layout):
                row |= _validation_row(stage, settings, state)
            row["seconds"] = time.perf_counter() - start
            state.epoch += 1
            state.history.append(row)
            state.network, state.optimizer = settings.network.state_dict(), optimizer.state_dict()
            state.average, state.averaged = average.weights, average.count
            state.objective = group.gather_state(objective.state()) if isinstance(objective, Stateful) else {}
            if context.state:
                save_state(context.state, state)
            _write_history(state, context)
            context.progress(row)
        with average.applied(stage.network, training_set, settings.layout):
            last = _copy(stage.network.state_dict())
        stage.network.load_state_dict(last if state.best is None else state.best)
        group.broadcast(stage.network.state_dict().values())
    return last


def _validation_row(stage: Stage, settings: TrainingSettings, state: TrainingState) -> dict[str, float]:
    """Judge the weights of an epoch, store them if they are the best, and return the columns."""
    if not settings.validation_set:
        return {}
    accuracy = validate_together(
        settings.group,
        stage,
        settings.validation_set,
        seed=settings.context.seed,
        layout=settings.layout,
    )
    row = accuracy.row()
    if stage.options.keep == "best":
        row["best"] = float(accuracy.score > state.score)
        if row["best"]:
            state.best, state.score = _copy(stage.network.state_dict()), accuracy.score
    return row


def _write_history(state: TrainingState, context: TrainingContext) -> None:
    if context.history:
        write_history(context.history, state.history)


def _identity(
    network: nn.Module,
    data: ImageSet,
    options: TrainingOptions,
    context: TrainingContext,
    group: ProcessGroup,
) -> Mapping[str, object]:
    """Return everything that decides what the weights become, as plain JSON data."""
    whole = {
        "identity": context.identity,
        "seed": context.seed,
        "defense": {"recipe": type(options).__name__, **identity_of(options)},
        "data": {"name": data.name, "images": len(data), "sha256": data.digest()},
        "network": {name: list(tensor.shape) for name, tensor in network.state_dict().items()},
    }
    if group.size > 1:
        whole["processes"] = group.size
    plain: Mapping[str, object] = json.loads(
        json.dumps(whole, default=lambda value: type(value).__qualname__)
    )
    return plain


def _on_device(data: ImageSet, device: torch.device) -> ImageSet:
    return replace(
        data,
        images=data.images.to(device),
        labels=data.labels.to(device),
        indices=data.indices.to(device),
    )


def _copy(weights: Weights) -> Weights:
    return {name: tensor.detach().clone() for name, tensor in weights.items()}
