"""Bound the images of a unit; adversarial images that a search finds are judged like those of an attack."""

from __future__ import annotations

import math
import time
from dataclasses import replace

import torch

from robench.bounds.methods import certified_outcomes, certifier_of
from robench.bounds.search import Verdict
from robench.judge.verdict import judge
from robench.model.batch_identity import batch_of
from robench.randomness import seed_from
from robench.record.certificates import LOWEST, Certificates
from robench.record.parts import RecordedAttack, RecordedSource, RecordedThreat
from robench.record.schema import Record, Status
from robench.run.bounding import Bounding
from robench.run.jobs import Unit
from robench.run.records import record_of
from robench.run.settings import Settings


def bound_unit(unit: Unit, bounding: Bounding, settings: Settings) -> Record:
    """Bound the images of a unit and return the record.

    An image is certified if its bound says so and the model itself gets it right.

    Args:
        unit: the unit to bound.
        bounding: the method.
        settings: seed and batch size.

    Raises:
        ConfigError: the network computes something else than the graph that was read from it.
    """
    start = time.perf_counter()
    model, threat = bounding.target.model, bounding.threat
    x, y = unit.shard.data.batch(slice(None))
    certifier = certifier_of(model, threat, unit.shard.data.shape, bounding.method)
    outcomes = certified_outcomes(
        certifier, x, y, bounding.method, seed=seed_from(settings.seed, "bounds") % 2**63
    )
    proposals = [x[at] if one.x_adv is None else one.x_adv for at, one in enumerate(outcomes)]
    x_adv = torch.stack(proposals) if proposals else x
    with batch_of(unit.shard.data.indices):
        verdict = judge(
            model,
            x.to(model.device),
            y.to(model.device),
            x_adv.to(model.device),
            threat=threat,
            batch_size=settings.batch_size,
        )
    record = record_of(unit, None, verdict, findings=verdict.findings, draw_outcomes=[], settings=settings)
    proofs = [
        int(one.verdict is Verdict.CERTIFIED and status == Status.ROBUST)
        for one, status in zip(outcomes, verdict.status, strict=True)
    ]
    source = {"name": model.name, "fingerprint": bounding.target.fingerprint}
    seconds = round(time.perf_counter() - start, 6)
    return replace(
        record,
        attack=RecordedAttack.read(bounding.spec()),
        source=RecordedSource.read(source),
        threat=RecordedThreat.read({**threat.spec(), "eps_text": bounding.eps_text}),
        certificates=Certificates(
            certified=proofs,
            bound=[
                one.bound if one.bound > LOWEST and math.isfinite(one.bound) else LOWEST for one in outcomes
            ],
            domains=[one.domains for one in outcomes],
            seconds=[round(one.seconds, 6) for one in outcomes],
        ),
        provenance=replace(record.provenance, seconds=seconds),
    )
