"""The two halves of the work: craft the images of a shard on one model, judge them on another."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import replace

from robench.attack.craft import Crafted, CraftSettings, craft
from robench.attack.threat import ThreatModel, targets_under
from robench.judge.attack_findings import ledger_findings, with_advice_for_authors
from robench.judge.class_order import class_order
from robench.judge.one_answer import one_answer
from robench.judge.overlap import copies_in, overlap_with
from robench.judge.probes import probe
from robench.judge.verdict import Verdict, fresh_outcomes, judge, with_count_as_proposed
from robench.model.batch_identity import batch_of
from robench.model.prepared import PreparedModels
from robench.randomness import borrowed_global_randomness, seed_from
from robench.record.schema import Finding, Record
from robench.run.crafting import Crafting
from robench.run.jobs import Unit
from robench.run.records import asked_again, record_of
from robench.run.settings import Settings
from robench.run.shards import Shard
from robench.run.survivor_checks import survivor_findings
from robench.types import Labels

NO_ATTACK = ThreatModel(eps=0.0)
"""The threat that clean images are judged under."""


def craft_unit(
    crafting: Crafting,
    shard: Shard,
    settings: Settings,
    *,
    prepared: PreparedModels | None = None,
    on_passes: Callable[[int], None] | None = None,
) -> Crafted:
    """Craft one shard on the device of the attacked model and return the result on the CPU.

    Args:
        crafting: attack, model and threat.
        shard: the images.
        settings: seed and batch size.
        prepared: copies of networks that were proven on earlier shards.
        on_passes: called with the number of passes just made, each on one image; None for no call.
    """
    model = crafting.attacked.model
    x, y = shard.data.batch(slice(None))
    with batch_of(shard.data.indices):
        result = craft(
            model,
            crafting.attack,
            x.to(model.device),
            y.to(model.device),
            threat=crafting.threat,
            indices=shard.data.indices.to(model.device),
            settings=CraftSettings(
                source=None if crafting.attack.info.own_source else crafting.gradient_source,
                seed=seed_from(settings.seed, "craft"),
                drop=crafting.drop and not settings.to_the_end,
                batch_size=settings.batch_size,
                on_passes=on_passes,
            ),
            prepared=prepared.of(model) if prepared else None,
        )
    return replace(result, x_adv=result.x_adv.cpu(), ledger=result.ledger.cpu())


def judge_unit(
    unit: Unit,
    crafted: Crafted | None,
    settings: Settings,
    *,
    clean: Labels | None = None,
    known: Collection[str] = (),
) -> Record:
    """Judge one shard on one target and return the record.

    A clean unit judges its images unchanged, and probes the model. A random model, or a network found to be
    random, gets each image a few more times, under noise that no attack has seen. If memory runs out, each
    of these three steps is repeated with half as many images per pass.

    Args:
        unit: what to judge.
        crafted: the crafted images; None for a clean unit.
        settings: seed, batch size, and number of draws.
        clean: predictions (B,) on the clean images, if they are known already.
        known: codes of findings about the model itself; consequences of these are not reported again.

    Raises:
        JobError: memory does not suffice for one image, or for a joint batch; or from `judge`.
    """
    model = unit.target.model
    x, y = (part.to(model.device) for part in unit.shard.data.batch(slice(None)))
    batches = model.fitting_batches(len(x))
    threat = unit.crafting.threat if unit.crafting else NO_ATTACK
    target_classes = targets_under(threat.goal, y, model.classes)
    x_adv = crafted.x_adv.to(model.device) if crafted else x

    @contextmanager
    def same_chance() -> Iterator[int]:
        # All seeds are reset, so that a network that draws random numbers gives the same verdict again.
        with batch_of(unit.shard.data.indices):
            seed = seed_from(settings.seed, "judge", unit.shard.digest)
            with borrowed_global_randomness(seed):
                yield seed

    def judge_proposals(size: int) -> Verdict:
        with same_chance():
            verdict = judge(
                model,
                x,
                y,
                x_adv,
                threat=threat,
                target=target_classes,
                clean=clean.to(model.device) if clean is not None else None,
                batch_size=size,
            )
            if unit.crafting and unit.crafting.attack.info.unconfined:
                verdict = with_count_as_proposed(verdict, model, y, batch_size=size)
        return verdict

    def probe_model(size: int) -> tuple[Finding, ...]:
        with same_chance():
            return probe(model, x, y, most=size)

    def ask_under_fresh_noise(size: int) -> list[str]:
        with same_chance() as seed:
            return fresh_outcomes(
                model,
                verdict.landing.point,
                y,
                attacked=crafted is not None,
                target=target_classes,
                draws=settings.draws,
                seed=seed,
                batch_size=size,
            )

    def climb_from_survivors(size: int) -> tuple[Finding, ...]:
        with same_chance() as seed:
            return survivor_findings(unit, crafted, verdict.status, known, seed=seed, batch_size=size)

    verdict = batches.do(judge_proposals, most=settings.batch_size)
    findings = verdict.findings
    if crafted is None:
        findings = (*findings, *batches.do(probe_model, most=settings.batch_size))
        findings = (*findings, *overlap_with(unit.shard.data, unit.target.seen_images))
        doubts = class_order(verdict.clean, y, model.classes), one_answer(verdict.clean, y)
        findings = (*findings, *copies_in(unit.shard.data), *(doubt for doubt in doubts if doubt))
    codes = known if crafted else {finding.code for finding in findings}
    draw_outcomes: list[str] = []
    if asked_again(model, codes) and len(y):
        draw_outcomes = batches.do(ask_under_fresh_noise, most=settings.batch_size)
    if crafted and unit.white_box:
        is_users = bool(unit.crafting and unit.crafting.attack.info.code)
        owner = "the attack" if is_users else "the library"
        if unit.crafting and is_users:
            findings = with_advice_for_authors(findings, crafted.ledger, label=unit.crafting.label)
        findings = (*findings, *ledger_findings(crafted.ledger, verdict.status, codes, owner=owner))
        findings = (*findings, *batches.do(climb_from_survivors, most=settings.batch_size))
    return record_of(
        unit,
        crafted,
        verdict,
        findings=findings,
        draw_outcomes=draw_outcomes,
        settings=settings,
        micro_batch=batches.smallest,
    )
