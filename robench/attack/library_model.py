"""Lends a model to attack libraries, as a plain module or an ART classifier, and counts their passes."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from importlib import import_module
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from robench.attack.ledger import ALL
from robench.attack.library_queries import LibraryQueries
from robench.attack.oracle import Oracle
from robench.attack.surrogate_module import Form, SurrogateModule
from robench.errors import ConfigError, JobError, RobenchError
from robench.model.global_state import kept_global_state
from robench.model.interface import GradientSource, Model
from robench.model.out_of_memory import is_out_of_memory
from robench.randomness import Randomness, borrowed_global_randomness

if TYPE_CHECKING:
    from art.estimators.classification import PyTorchClassifier


def art_classifier(
    model: Model,
    source: GradientSource | str | None = None,
    *,
    shape: tuple[int, ...],
    bounds: tuple[float, float] | None = None,
    module: SurrogateModule | None = None,
) -> PyTorchClassifier:
    """Wrap a model, whatever its head, as an ART `PyTorchClassifier` on which every ART attack runs.

    `predict`, `loss_gradient` and `class_gradient` work on the model's device; the network's modes, weights
    and `.grad` are restored.

    Args:
        model: the model.
        source: the gradient source, or its name, to differentiate; the model's first by default.
        shape: (C, H, W) of one image; some ART attacks scale by it.
        bounds: the box an attack may use; the model's by default.
        module: the SurrogateModule to use, for a caller that wants its counts.

    Raises:
        ConfigError: the model does not offer that gradient source.
    """
    from art.estimators.classification import PyTorchClassifier

    source = model.source(source) if isinstance(source, str) else source
    device = model.device
    # ART takes the current CUDA device, whatever device the model is on.
    with torch.cuda.device(device) if device.type == "cuda" else nullcontext():
        return PyTorchClassifier(
            model=module or SurrogateModule(model, source),
            # Summed, not averaged: a mean divides each image's gradient by the batch size and may underflow.
            loss=nn.CrossEntropyLoss(reduction="sum"),
            input_shape=tuple(shape),
            nb_classes=model.classes,
            clip_values=bounds or model.bounds,
            device_type="gpu" if device.type == "cuda" else "cpu",
        )


@contextmanager
def lent(
    oracle: Oracle,
    rng: Randomness,
    *,
    form: Form = "scores",
    ascends: bool | None = None,
    name: str = "a library",
    owner: str = "the library",
    kind: type[SurrogateModule] = SurrogateModule,
) -> Iterator[SurrogateModule]:
    """Lend an oracle's model to a library: global generators are seeded, passes are counted afterwards.

    Process-wide settings that a library might change are restored. Its passes cannot be assigned to images,
    so each image gets an equal share, rounded up. Its evaluated points are recorded: an adversarial point
    that it does not return is proposed all the same, with a finding.

    Args:
        oracle: gives model, gradient source and ledger.
        rng: seeds the global generators.
        form: the kind of output that the library expects.
        ascends: whether its gradients are the steps of one ascent of the cross-entropy; by default assumed of
            an attack that does not minimise.
        name: name of the attack in messages.
        owner: name of the code's owner in messages.
        kind: what is lent.

    Raises:
        ConfigError: the threat model has a budget, at which a library cannot be stopped.
        JobError: the library raised an error of its own.
    """
    if oracle.threat.budget is not None:
        raise ConfigError(
            where="budget",
            expected="an attack of robench's own, which can be stopped at a budget",
            got=f"one of {owner}",
            do="Remove the budget for this attack",
        )
    count = len(oracle.x)
    module = kind(oracle.model, oracle.source, batch=count, shape=tuple(oracle.x.shape[1:]), form=form)
    queries = LibraryQueries(oracle, lambda: (module.rows_forward, module.rows_backward))
    module.listener, module.gradient_listener = queries, queries.gradient
    oracle.declarations.is_library_attack = True
    ascends = not oracle.declarations.minimise if ascends is None else ascends
    try:
        climbing = oracle.ascent() if ascends else nullcontext()
        with kept_global_state(), _quiet(), borrowed_global_randomness(rng.torch_seed()), climbing:
            yield module
    except RobenchError:
        raise
    except Exception as error:
        if error is module.error or is_out_of_memory(error):
            raise
        lines = str(error).strip().splitlines() or ["without a message"]
        got = f"{owner}'s own {type(error).__name__}: {lines[0].rstrip('.')}"
        if module.odd_shape is not None:
            got += f", after it had asked about images of shape {module.odd_shape}"
        do = "It cannot attack this network or these images, or not with these options: try others"
        raise JobError(where=name, expected="adversarial images", got=got, do=do) from error
    finally:
        oracle.ledger.book(
            ALL,
            forwards=-(-module.rows_forward // max(count, 1)),
            backwards=-(-module.rows_backward // max(count, 1)),
        )


def imported(name: str) -> Any:
    """Import a module of a library without its warnings, which a user cannot fix."""
    with _quiet():
        return import_module(name)


@contextmanager
def _quiet() -> Iterator[None]:
    """Hide warnings of libraries and of the code they call, which a user cannot fix.

    Warnings of the network itself appear when it is used without a library.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
