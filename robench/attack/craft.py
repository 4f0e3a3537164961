"""Craft adversarial images on one source model: the half of a job that costs."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch

from robench.attack.boundary import towards_the_clean_image
from robench.attack.ledger import Ledger
from robench.attack.oracle import Oracle
from robench.attack.protocol import Attack, has_older_form, run_attack
from robench.attack.threat import ThreatModel, targets_under
from robench.attack.visibility import as_seen
from robench.data.images import check_images
from robench.errors import ConfigError, JobError
from robench.model.another_way import went_another_way
from robench.model.evaluation import evaluation_mode
from robench.model.interface import Coupling, Model
from robench.model.out_of_memory import FREE, SMALLER_SHARD, first_fitting, halving
from robench.model.prepared import AS_IT_IS, PreparedModel
from robench.plan.knowledge import denied
from robench.randomness import Randomness, borrowed_global_randomness
from robench.types import Images, Labels


@dataclass(frozen=True, slots=True, kw_only=True)
class CraftSettings:
    """How one attack is run on one batch.

    Attributes:
        source: name of the gradient source; the model's first by default.
        seed: the plan's seed.
        drop: let broken images leave the batch; only sound when no other model is judged on the result.
        batch_size: most images per pass.
        on_passes: called with the number of passes just made, each on one image; None for nobody.
    """

    source: str | None = None
    seed: int = 0
    drop: bool = True
    batch_size: int = 250
    on_passes: Callable[[int], None] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Crafted:
    """What an attack proposed for one batch, and what it spent.

    Attributes:
        x_adv: proposals (B, C, H, W), not yet judged.
        ledger: passes, first success, oddities met, each (B,).
        seconds: wall-clock time of the attack.
        engine: which copy of the network was attacked, by its name in `robench.model.copy_methods`, or
            `as it is`.
        not_used: faster copies that were not, each with the reason.
        micro_batch: most images at once after memory ran out with more; 0 where it never did.
    """

    x_adv: Images
    ledger: Ledger
    seconds: float
    engine: str = ""
    not_used: Mapping[str, str] = field(default_factory=dict)
    micro_batch: int = 0

    @classmethod
    def joined(cls, parts: Sequence[Crafted]) -> Crafted:
        """Return what was proposed for the images of all parts, in order; the last knows of all copies."""
        return replace(
            parts[-1],
            x_adv=torch.cat([part.x_adv for part in parts]),
            ledger=Ledger.joined([part.ledger for part in parts]),
            seconds=sum(part.seconds for part in parts),
            engine=", ".join(dict.fromkeys(part.engine for part in parts)),
        )


def check_attack(attack: Attack, threat: ThreatModel, *, label: str = "attack") -> None:
    """Refuse an attack that cannot play under a threat model, before anything is run.

    Raises:
        ConfigError: its norms or goals do not include the threat's, it needs a finite radius, or it needs to
            know more than the threat grants, or cannot keep the threat's budget; or it cannot be called.
    """
    has_older_form(attack)
    if threat.norm.name not in attack.info.norms:
        raise ConfigError(
            where=label,
            expected=f"a norm this attack has ({', '.join(attack.info.norms)})",
            got=threat.norm.name,
            do=f"Put it under a threat with that norm; in Python: norm={attack.info.norms[0]!r}",
        )
    if str(threat.goal) not in attack.info.goals:
        raise ConfigError(
            where=label,
            expected=f"a goal this attack can play ({', '.join(attack.info.goals)})",
            got=str(threat.goal),
            do="Use another attack under this threat",
        )
    if denial := denied(attack.info, threat.knowledge, threat.budget):
        raise ConfigError(where=label, expected=denial.expected, got=denial.got, do=denial.do)
    if not threat.bounded and not attack.info.minimises:
        raise ConfigError(
            where=label,
            expected="a finite eps",
            got="inf",
            do="Give eps, or use an attack that minimises, such as cw",
        )


def craft(
    model: Model,
    attack: Attack,
    x: Images,
    y: Labels,
    *,
    threat: ThreatModel,
    indices: torch.Tensor,
    settings: CraftSettings = CraftSettings(),
    prepared: PreparedModel | None = None,
) -> Crafted:
    """Run one attack on one batch of one model.

    The model's network is as before when this returns or raises, bit for bit, and so is every global
    generator. The attack asks a prepared copy of it that was proven on these images, and once more at the
    points it found; where that fails, the attack is run again on the next plainer one.

    Where memory runs out, all is done again with half as many images in a pass. Where one in a pass is too
    much too, it may be the attack itself that needs memory for all images: then these are handed to it in
    halves, in quarters and so on. What belongs together, a joint batch or one perturbation for all, is never
    split.

    Args:
        model: the source model.
        attack: the recipe.
        x: clean images (B, C, H, W) in the threat model's bounds.
        y: true labels (B,).
        threat: the threat model.
        indices: (B,) identity of each image, for its randomness.
        settings: gradient source, seed, dropping and batch size.
        prepared: the copies of this model that were made and proven before; made anew by default.

    Raises:
        ConfigError: the attack cannot play under this threat, or the source is unknown.
        JobError: the attack returned another shape, or changed the network or the oracle's images or labels;
            or memory does not suffice for one image, or for what belongs together.
    """
    check_attack(attack, threat)
    check_images(x, where="attack input", bounds=threat.bounds)
    copies = PreparedModel(model) if prepared is None else prepared
    visible_model = as_seen(model, threat)

    def craft_in_batches(size: tuple[int, int]) -> Crafted:
        images_at_once, batch_size = size
        parts = [
            _craft_batch(
                visible_model,
                attack,
                x[rows],
                y[rows],
                threat=threat,
                indices=indices[rows],
                settings=replace(settings, batch_size=batch_size),
                copies=copies,
            )
            for rows in _slices(len(x), images_at_once)
        ]
        return parts[0] if len(parts) == 1 else Crafted.joined(parts)

    expected, do = _needed(model, attack, len(x))
    fit = first_fitting(
        craft_in_batches,
        _sizes(model, attack, len(x), settings),
        where=f"model {model.name!r}",
        expected=expected,
        do=do,
    )
    return replace(fit.value, micro_batch=min(fit.size)) if fit.halved else fit.value


def _slices(count: int, size: int) -> list[slice]:
    return [slice(start, start + size) for start in range(0, max(count, 1), max(size, 1))]


def _sizes(model: Model, attack: Attack, count: int, settings: CraftSettings) -> Iterator[tuple[int, int]]:
    """Yield how many images an attack may be handed and a pass may hold, in the order in which it is tried.

    A library that asks about all images at once, whatever a pass may hold, is helped by the former only.
    """
    if model.coupling is Coupling.JOINT:
        yield count, settings.batch_size
        return
    for size in halving(settings.batch_size, count):
        yield count, size
    if not attack.info.couples_images and count > 1:
        for size in halving(count // 2, count):
            yield size, min(size, settings.batch_size)


def _needed(model: Model, attack: Attack, count: int) -> tuple[str, str]:
    """Say what memory must suffice for at least, and what to do where it does not."""
    if model.coupling is Coupling.JOINT:
        return f"memory for a joint batch of {count} images, which cannot be split", SMALLER_SHARD
    if attack.info.couples_images:
        return f"memory for an attack on {count} images that belong together", SMALLER_SHARD
    return "memory for one image at a time", FREE


def _craft_batch(
    model: Model,
    attack: Attack,
    x: Images,
    y: Labels,
    *,
    threat: ThreatModel,
    indices: torch.Tensor,
    settings: CraftSettings,
    copies: PreparedModel,
) -> Crafted:
    """Run the attack on images that it is handed at once; see `craft`."""
    gradient_source = model.source(settings.source) if settings.source else next(iter(model.sources.values()))
    sources = list(model.sources.values()) if attack.info.own_source else [gradient_source]
    targets = targets_under(threat.goal, y, model.classes)
    attack_labels = y if targets is None else targets
    start = time.perf_counter()
    copies.begin()
    while True:
        engine_name = AS_IT_IS if attack.info.layers else copies.choose(x, sources)
        oracle = Oracle(
            model,
            x.clone(),
            attack_labels.clone(),
            threat,
            source=gradient_source,
            drop=settings.drop and not attack.info.minimises,
            minimise=attack.info.minimises,
            batch_size=settings.batch_size,
            on_passes=settings.on_passes,
        )
        rng = Randomness(settings.seed, indices, (type(attack).__name__, gradient_source.name))
        try:
            # A network may draw from the global generators: what they held before is no part of the plan.
            with copies.using(engine_name), borrowed_global_randomness(rng.torch_seed()):
                proposal = _proposal(attack, oracle, x, attack_labels, rng)
        except Exception as error:
            if engine_name == AS_IT_IS or not went_another_way(error):
                raise
            copies.rule_out(engine_name, f"in a pass of the attack, {error}")
            continue
        if copies.confirm(engine_name, proposal, sources, claimed=oracle.ledger.claimed):
            break
    if attack.info.minimises:
        with evaluation_mode(model.net), borrowed_global_randomness(rng.torch_seed()):
            proposal = towards_the_clean_image(oracle, proposal)
    return Crafted(
        x_adv=proposal,
        ledger=oracle.ledger,
        seconds=time.perf_counter() - start,
        engine=engine_name,
        not_used=dict(copies.reasons),
    )


def _proposal(attack: Attack, oracle: Oracle, x: Images, attack_labels: Labels, rng: Randomness) -> Images:
    """Return what an attack proposes for images (B, C, H, W) that it must leave as they are.

    Args:
        attack: the recipe.
        oracle: what it asks.
        x: the images, of which the oracle has a copy.
        attack_labels: what the oracle has a copy of too, (B,): true labels, or targets under a targeted goal.
        rng: the attack's chance.

    Raises:
        JobError: the proposal has another shape, or the attack wrote into what it was given.
    """
    last = run_attack(attack, oracle, rng)
    if last.shape != x.shape:
        raise JobError(
            where="attack", expected=f"images of shape {tuple(x.shape)}", got=str(tuple(last.shape))
        )
    if not (torch.equal(oracle.x, x) and torch.equal(oracle.y, attack_labels)):
        raise JobError(
            where="attack",
            expected="the oracle's images and labels as they were",
            got="some that were changed in place",
            do="Start from a copy: `oracle.x.clone()`",
        )
    return oracle.proposal(last.detach())
