"""Craft adversarial images on one source model: the expensive half of a job."""

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
from robench.types import Images, IntPerSample, Labels


@dataclass(frozen=True, slots=True, kw_only=True)
class CraftSettings:
    """Settings of one attack on one batch.

    Attributes:
        source: name of the gradient source; the model's first by default.
        seed: the plan's seed.
        drop: let broken images leave the batch; only valid if no other model is judged on the result.
        batch_size: most images per pass.
        on_passes: called with the number of passes just made, each on one image; None for no call.
    """

    source: str | None = None
    seed: int = 0
    drop: bool = True
    batch_size: int = 250
    on_passes: Callable[[int], None] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Crafted:
    """The proposals of an attack for one batch, and their cost.

    Attributes:
        x_adv: proposals (B, C, H, W), not yet judged.
        ledger: passes, first success, irregularities, each (B,).
        seconds: wall-clock time of the attack.
        engine: which copy of the network was attacked, by its name in `robench.model.copy_methods`, or
            `as it is`.
        not_used: faster copies that were not used, each with the reason.
        proof: how far the copy was from the network where they were compared: `outputs` relative to the
            largest, `gradients` to their length; empty for the network itself.
        micro_batch: most images at once after memory ran out with more; 0 if it never did.
    """

    x_adv: Images
    ledger: Ledger
    seconds: float
    engine: str = ""
    not_used: Mapping[str, str] = field(default_factory=dict)
    proof: Mapping[str, float] = field(default_factory=dict)
    micro_batch: int = 0

    @classmethod
    def joined(cls, parts: Sequence[Crafted]) -> Crafted:
        """Return the proposals for the images of all parts, in order; the last part knows all copies."""
        return replace(
            parts[-1],
            x_adv=torch.cat([part.x_adv for part in parts]),
            ledger=Ledger.joined([part.ledger for part in parts]),
            seconds=sum(part.seconds for part in parts),
            engine=", ".join(dict.fromkeys(part.engine for part in parts)),
            proof={key: max(part.proof.get(key, 0.0) for part in parts) for key in parts[-1].proof},
        )


def check_attack(attack: Attack, threat: ThreatModel, *, label: str = "attack") -> None:
    """Refuse an attack that does not support a threat model, before anything is run.

    Raises:
        ConfigError: its norms or goals do not include the threat's, it needs a finite radius or more
            knowledge than the threat allows, it cannot keep the threat's budget, or it is not callable.
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
    indices: IntPerSample,
    settings: CraftSettings = CraftSettings(),
    prepared: PreparedModel | None = None,
) -> Crafted:
    """Run one attack on one batch of one model.

    The model's network and every global generator are restored, bit for bit, also after an error. The attack
    uses a prepared copy of the network that was proven on these images; it is proven again at the points
    that the attack found. If that fails, the attack is run again on the next simpler copy.

    If memory runs out, everything is repeated with half as many images per pass. If one image per pass is too
    much, the attack itself may need memory for all images: then it gets them in halves, in quarters and so
    on. Images that belong together, as a joint batch or for one common perturbation, are never split.

    Args:
        model: the source model.
        attack: the recipe.
        x: clean images (B, C, H, W) in the threat model's bounds.
        y: true labels (B,).
        threat: the threat model.
        indices: (B,) identity of each image, for its randomness.
        settings: gradient source, seed, dropping and batch size.
        prepared: copies of this model that were made and proven before; new ones by default.

    Raises:
        ConfigError: the attack does not support this threat, or the source is unknown.
        JobError: the attack returned another shape, or changed the network or the oracle's images or labels;
            or memory does not suffice for one image, or for images that belong together.
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
    """Yield the numbers of images per attack and per pass to try, in order.

    The former helps libraries that evaluate all images at once and ignore the limit of a pass.
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
    """Say what the least required memory is for, and what to do without it."""
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
    """Run the attack on images that it gets at once; see `craft`."""
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
            # A network may draw from the global generators, whose earlier state must not matter.
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
        not_used=copies.not_used,
        proof=copies.distance.measures() if copies.distance else {},
    )


def _proposal(attack: Attack, oracle: Oracle, x: Images, attack_labels: Labels, rng: Randomness) -> Images:
    """Return an attack's proposals for images (B, C, H, W), which it must not change.

    Args:
        attack: the recipe.
        oracle: its access to the model.
        x: the images, of which the oracle has a copy.
        attack_labels: true labels (B,), or targets under a targeted goal; the oracle has a copy of these too.
        rng: the attack's randomness.

    Raises:
        JobError: the proposal has another shape, or the attack changed its inputs.
    """
    last = run_attack(attack, oracle, rng)
    if last.shape != x.shape:
        raise JobError(
            where="attack", expected=f"images of shape {tuple(x.shape)}", got=str(tuple(last.shape))
        )
    if not (torch.equal(oracle.x, x) and torch.equal(oracle.y, attack_labels)):
        raise JobError(
            where="attack",
            expected="unchanged images and labels of the oracle",
            got="images or labels that were changed in place",
            do="Start from a copy: `oracle.x.clone()`",
        )
    return oracle.proposal(last.detach())
