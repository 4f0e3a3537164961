"""Makes the record of a unit: per-image columns, models, attack, images and provenance."""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from typing import Any

from robench.attack.craft import Crafted
from robench.attack.ledger import Ledger
from robench.attack.norms import L2, LINF
from robench.judge.answer_probes import RANDOM
from robench.judge.verdict import Verdict
from robench.machine import hardware, versions
from robench.model.interface import Coupling, Model
from robench.record.parts import (
    Provenance,
    RecordedAttack,
    RecordedDataset,
    RecordedSource,
    RecordedTarget,
    RecordedThreat,
)
from robench.record.schema import Columns, Finding, Record
from robench.run.evaluated_model import EvaluatedModel
from robench.run.jobs import Unit
from robench.run.keys import CLEAN, attack_spec
from robench.run.settings import Settings
from robench.types import Images


def asked_again(model: Model, codes: Collection[str]) -> bool:
    """Tell whether a record has draws of fresh noise: the model is random by declaration or by a finding."""
    return model.random or RANDOM in codes


def record_of(
    unit: Unit,
    crafted: Crafted | None,
    verdict: Verdict,
    *,
    findings: tuple[Finding, ...],
    draw_outcomes: list[str],
    settings: Settings,
    micro_batch: int = 0,
) -> Record:
    """Return the record of a judged unit.

    Args:
        unit: the judged unit.
        crafted: the images and their cost; None for clean images.
        verdict: the judge's verdict.
        findings: all reasons to doubt it.
        draw_outcomes: one text for each image of a random model, such as `1101`: whether it stood (1) in each
            draw of fresh noise; empty for any other model.
        settings: of the evaluation.
        micro_batch: most images judged at once after memory ran out with more; 0 if it never did.
    """
    crafting = unit.crafting
    target, source, dataset = _target(unit.target), _source(unit, crafted), _dataset(unit)
    provenance = _provenance(unit, crafted, settings, micro_batch)
    attack = attack_spec(crafting.label, crafting.attack) if crafting else attack_spec(CLEAN, None)
    threat = {**crafting.threat.spec(), "eps_text": crafting.board.eps_text} if crafting else {}
    columns = _columns(unit, crafted, verdict, draw_outcomes)
    return Record(
        key=unit.key,
        target=RecordedTarget.read(target),
        source=RecordedSource.read(source),
        attack=RecordedAttack.read(attack),
        threat=RecordedThreat.read(threat),
        dataset=RecordedDataset.read(dataset),
        seed=settings.seed,
        columns=columns,
        findings=findings,
        provenance=Provenance.read(provenance),
    )


def _columns(unit: Unit, result: Crafted | None, verdict: Verdict, draw_outcomes: list[str]) -> Columns:
    data = unit.shard.data
    norm = unit.crafting.board.threat.norm if unit.crafting else LINF
    ledger = result.ledger if result else Ledger.empty(len(data))
    return Columns(
        index=data.indices.tolist(),
        label=data.batch(slice(None))[1].tolist(),
        clean=verdict.clean.tolist(),
        adversarial=verdict.adversarial.tolist(),
        status=[str(status) for status in verdict.status],
        linf=verdict.linf.tolist(),
        l2=verdict.l2.tolist(),
        distance=verdict.distance.tolist() if norm not in {LINF, L2} else [],
        forwards=[float(v) for v in ledger.forwards.tolist()],
        backwards=[float(v) for v in ledger.backwards.tolist()],
        first_success=ledger.first_success.tolist(),
        points=ledger.points.tolist(),
        tries=ledger.tries.tolist(),
        first_passes=ledger.first_passes.tolist(),
        first_try=ledger.first_try.tolist(),
        stood=draw_outcomes,
    )


def _target(entry: EvaluatedModel) -> dict[str, Any]:
    model = entry.model
    return {
        "name": model.name,
        "fingerprint": entry.fingerprint,
        "output": str(model.output),
        "coupling": str(model.coupling),
        "sources": list(entry.sources),
        "details": dict(model.details),
    }


def _source(unit: Unit, result: Crafted | None) -> dict[str, Any]:
    crafting = unit.crafting
    if crafting is None:
        return {"name": "", "fingerprint": "", "gradient_source": "", "gradients": 0}
    has_stand_in = crafting.attacked is not crafting.source
    return {
        "name": crafting.source.model.name,
        "fingerprint": crafting.source.fingerprint,
        "gradient_source": crafting.gradient_source,
        "gradients": int(result.ledger.gradients.max()) if result and len(unit.shard.data) else 0,
        **({"stand_in": crafting.attacked.fingerprint} if has_stand_in else {}),
    }


def _dataset(unit: Unit) -> dict[str, Any]:
    shard = unit.shard
    return {
        "name": shard.data.name,
        "split": shard.data.split,
        "digest": shard.digest,
        "set": shard.set_digest,
        "n": shard.total,
        "classes": list(shard.data.classes),
    }


def _provenance(unit: Unit, result: Crafted | None, settings: Settings, micro_batch: int) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "versions": versions(),
        **hardware(str(unit.target.model.device)),
        "batch_size": settings.batch_size,
        "seconds": round(result.seconds, 6) if result else 0.0,
    }
    if result:
        facts["images_sha256"] = _sha256(result.x_adv)
        if result.engine:  # which copy of the network was attacked, and why faster ones were not
            facts["engine"] = {"used": result.engine, "not_used": dict(result.not_used)}
            if result.proof:
                facts["engine"]["proof"] = dict(result.proof)
    if unit.target.model.coupling is Coupling.JOINT:  # a report compares it with the number of images
        facts["shard"] = settings.shard
    if sizes := {micro_batch, result.micro_batch if result else 0} - {0}:  # memory ran out
        facts["micro_batch"] = min(sizes)
    if unit.crafted_key:  # a report finds the images by this key
        facts["crafted"] = unit.crafted_key
    return facts


def _sha256(images: Images) -> str:
    """Return the hash of images on the CPU: a verdict does not show small changes of pixels."""
    return hashlib.sha256(images.contiguous().numpy().tobytes()).hexdigest()
