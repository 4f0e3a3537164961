"""Craft adversarial images on one source model: the half of a job that costs."""

from __future__ import annotations

import time
from dataclasses import dataclass

import torch

from robench.attack import Attack
from robench.attacker import as_seen, check_access
from robench.data import check_images
from robench.errors import ConfigError, JobError
from robench.evaluation_mode import evaluation_mode
from robench.ledger import Ledger
from robench.model import Model
from robench.oracle import Oracle
from robench.randomness import Randomness
from robench.threat import Goal, ThreatModel
from robench.types import Images, Labels


@dataclass(frozen=True, slots=True, kw_only=True)
class Crafted:
    """What an attack proposed for one batch, and what it spent.

    Attributes:
        x_adv: proposals (B, C, H, W), not yet judged.
        ledger: passes, first success, oddities met, each (B,).
        seconds: wall-clock time of the attack.
    """

    x_adv: Images
    ledger: Ledger
    seconds: float


def check_attack(attack: Attack, threat: ThreatModel, *, label: str = "attack") -> None:
    """Refuse an attack that cannot play under a threat model, before anything is run.

    Raises:
        ConfigError: its norms do not include the threat's, it needs a finite radius, or it needs to know more
            than the threat grants, or cannot keep the threat's budget.
    """
    if threat.norm.name not in attack.info.norms:
        raise ConfigError(
            where=label,
            expected=f"a norm this attack has ({', '.join(attack.info.norms)})",
            got=threat.norm.name,
            do="Put it under a threat with that norm",
        )
    check_access(attack, threat, label=label)
    if not threat.bounded and not attack.info.minimises:
        raise ConfigError(
            where=label,
            expected="a finite eps",
            got="inf",
            do="Give eps, or use an attack that minimises, such as cw",
        )


def targets_of(y: Labels, classes: int) -> Labels:
    """Return the target class of each image under a targeted goal: the one after its true class."""
    return (y + 1) % classes


def craft(
    model: Model,
    attack: Attack,
    x: Images,
    y: Labels,
    *,
    threat: ThreatModel,
    indices: torch.Tensor,
    source: str | None = None,
    seed: int = 0,
    drop: bool = True,
    batch_size: int = 250,
) -> Crafted:
    """Run one attack on one batch of one model.

    The model's mode, weights and gradients, and every global generator, are as before when this returns or
    raises.

    Args:
        model: the source model.
        attack: the recipe.
        x: clean images (B, C, H, W) in the threat model's bounds.
        y: true labels (B,).
        threat: the threat model.
        indices: (B,) identity of each image, for its randomness.
        source: name of the gradient source; the model's first by default.
        seed: the plan's seed.
        drop: let broken images leave the batch; only sound when no other model is judged on the result.
        batch_size: most images per pass.

    Raises:
        ConfigError: the attack cannot play under this threat, or the source is unknown.
        JobError: the attack returned another shape.
    """
    check_attack(attack, threat)
    check_images(x, where="attack input", bounds=threat.bounds)
    model = as_seen(model, threat)
    gradient_source = model.source(source) if source else next(iter(model.sources.values()))
    goal = targets_of(y, model.classes) if threat.goal is Goal.TARGETED else y
    rng = Randomness(seed, indices, (type(attack).__name__, gradient_source.name))
    started = time.perf_counter()
    with evaluation_mode(model.net, fold=True):
        oracle = Oracle(
            model,
            x,
            goal,
            threat,
            source=gradient_source,
            drop=drop and not attack.info.minimises,
            minimise=attack.info.minimises,
            batch_size=batch_size,
        )
        last = attack(oracle, x.clone(), goal.clone(), threat=threat, rng=rng)
        if last.shape != x.shape:
            raise JobError(
                where="attack", expected=f"images of shape {tuple(x.shape)}", got=str(tuple(last.shape))
            )
        proposal = oracle.proposal(last.detach())
    return Crafted(x_adv=proposal, ledger=oracle.ledger, seconds=time.perf_counter() - started)
