"""Laws of an attack's side effects and claims: random numbers, inputs, the model, its passes."""

from __future__ import annotations

import torch
from torch import Tensor

from robench.attack.protocol import Knowledge
from robench.conformance.attack_trial import AttackTrial, Rules
from robench.conformance.result import InapplicableError, require
from robench.model.interface import Model
from robench.plurals import counted
from robench.types import Images


def seed(trial: AttackTrial) -> str:
    """The same seed gives the same bits."""
    _same_bits(trial.plain.last, trial.play(trial.toy()).last, "two runs with seed 0")
    return ""


def seedless(trial: AttackTrial) -> str:
    """An attack that declares `randomised=False` does not depend on the seed."""
    if trial.recipe.info.randomised:
        raise InapplicableError("It declares that it is randomised")
    _same_bits(trial.plain.last, trial.play(trial.toy(), Rules(seed=1)).last, "seeds 0 and 1")
    return ""


def chance(trial: AttackTrial) -> str:
    """The global generators of torch, NumPy and Python are neither moved nor used."""
    other = trial.play(trial.toy(), Rules(global_seed=1))
    require(not other.moved, f"moved: {', '.join(other.moved)}; draw from rng instead")
    _same_bits(trial.plain.last, other.last, "two states of the global generators")
    return ""


def inputs(trial: AttackTrial) -> str:
    """The images and labels it is given are not written to."""
    changes = trial.plain.changed
    require(not changes, f"changed in place: {', '.join(changes)}")
    return ""


def model(trial: AttackTrial) -> str:
    """The model's weights, modes, requires_grad, .grad and hooks are as they were."""
    target = trial.toy()
    target.net.get_parameter("first").requires_grad_(False)
    before = _state(target)
    trial.play(target)
    after = _state(target)
    wrong = [name for name, value in before.items() if not _equal(value, after.get(name))]
    require(not wrong and len(before) == len(after), f"changed: {', '.join(wrong) or 'new parameters'}")
    return ""


def booked(trial: AttackTrial) -> str:
    """Every pass through the model is booked in the ledger: the oracle is the only road to it."""
    run = trial.plain
    counts = f"{counted(run.passed, 'image')} went through the model, {run.booked} are booked"
    require(run.passed <= run.booked, counts)
    return counts


def knowledge(trial: AttackTrial) -> str:
    """An attack that declares that it sees scores or labels only takes no gradient."""
    claim = trial.recipe.info.knowledge
    if claim == Knowledge.GRADIENT:
        raise InapplicableError("It declares that it needs gradients")
    gradients = int(trial.plain.oracle.ledger.backwards.sum())
    require(gradients == 0, f"{counted(gradients, 'gradient')} taken, declared: {claim}")
    return str(claim)


def _same_bits(one: Images, other: Images, what: str) -> None:
    different = (one != other).flatten(1).any(dim=1).nonzero().flatten().tolist()
    require(
        not different,
        f"{what} differ in {len(different)} of {counted(len(one), 'image')}, first image {different[:1]}",
    )


def _state(model: Model) -> dict[str, object]:
    """Return everything about a network that an attack must not change, by name."""
    state: dict[str, object] = {name: value.clone() for name, value in model.net.state_dict().items()}
    for name, parameter in model.net.named_parameters():
        state[f"{name}.requires_grad"] = parameter.requires_grad
        state[f"{name}.grad"] = None if parameter.grad is None else parameter.grad.clone()
    for name, part in model.net.named_modules():
        state[f"{name or 'network'}.training"] = part.training
        state[f"{name or 'network'}.hooks"] = len(part._forward_hooks) + len(part._forward_pre_hooks)
    return state


def _equal(one: object, other: object) -> bool:
    if isinstance(one, Tensor) and isinstance(other, Tensor):
        return torch.equal(one, other)
    return not isinstance(one, Tensor) and not isinstance(other, Tensor) and one == other
