"""One unit of work: its key, its crafting and its judging, as pure functions of values."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

from robench.attack.craft import Crafted, craft, targets_of
from robench.attack.ledger import Ledger
from robench.attack.protocol import Attack
from robench.attack.threat import Goal, ThreatModel
from robench.attack.visibility import hides_noise
from robench.data.images import ImageSet
from robench.judge.findings import VERSION as FINDINGS
from robench.judge.findings import ledger_findings
from robench.judge.probes import RANDOM, probe
from robench.judge.probes import VERSION as PROBES
from robench.judge.verdict import fresh_answers, judge, landing, reached
from robench.machine import hardware, versions
from robench.model.batch_identity import batch_of
from robench.model.interface import NOT_FINITE, Model
from robench.model.prepared import VERSION as ENGINE
from robench.model.prepared import PreparedModels
from robench.plan.spec import DRAWS, SCHEMA, content_hash
from robench.randomness import borrowed_global_randomness, seed_from
from robench.recipe import options_of
from robench.record.parts import (
    Provenance,
    RecordedAttack,
    RecordedDataset,
    RecordedSource,
    RecordedTarget,
    RecordedThreat,
)
from robench.record.schema import Columns, Record
from robench.run.evaluated_model import Subject, aimed_at
from robench.types import Images, Labels

CLEAN = "clean"
"""Label of the evaluation without any attack."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Board:
    """One threat model, how the user wrote its radius, and the attacks that play under it."""

    threat: ThreatModel
    eps_text: str
    attacks: Mapping[str, Attack]

    def spec(self) -> dict[str, Any]:
        """Return the plain JSON description that goes into records."""
        return {**self.threat.spec(), "eps_text": self.eps_text}


@dataclass(frozen=True, slots=True, kw_only=True)
class Shard:
    """A piece of the evaluation data.

    Attributes:
        data: the piece.
        digest: content hash of the piece.
        whole: content hash of all images asked for; rows of one board share it.
        total: how many images were asked for.
    """

    data: ImageSet
    digest: str
    whole: str
    total: int

    @classmethod
    def split(cls, data: ImageSet, size: int, *, even: bool = False) -> Iterator[Shard]:
        """Yield the data in as few pieces of at most `size` images as there can be.

        Args:
            data: the images, in their order.
            size: most images of a piece.
            even: let sizes differ by one image at most, for a joint graph of fewer images is another
                classifier; otherwise all pieces but the last are full.
        """
        whole = _images_hash(data)
        for part in map(data.subset, pieces(len(data), size, even=even)):
            yield cls(data=part, digest=_images_hash(part), whole=whole, total=len(data))


def pieces(count: int, size: int, *, even: bool = False) -> list[slice]:
    """Return the fewest consecutive pieces of at most `size` of `count` things; see `Shard.split`.

    Example:
        >>> [(p.start, p.stop) for p in pieces(1200, 500, even=True)]
        [(0, 400), (400, 800), (800, 1200)]
    """
    if not even:
        return [slice(start, min(start + size, count)) for start in range(0, count, size)]
    number = -(-count // size)
    ends = [count // number * i + min(i, count % number) for i in range(number + 1)] if number else [0]
    return [slice(start, stop) for start, stop in pairwise(ends)]


def _images_hash(data: ImageSet) -> str:
    return content_hash([data.digest(), data.indices.tolist()])


def attack_spec(label: str, attack: Attack | None) -> dict[str, Any]:
    """Return the plain JSON description of an attack; None stands for no attack."""
    if attack is None:
        return {"label": label, "name": CLEAN, "options": {}, "library": "robench", "minimises": False}
    kind = type(attack)
    return {
        "label": label,
        "name": attack.info.identity or f"{kind.__module__}:{kind.__qualname__}",
        "title": attack.info.title,
        "options": options_of(attack),
        "library": attack.info.library,
        "minimises": attack.info.minimises,
        "needs": str(attack.info.knowledge),
        "control": attack.info.control,
        **({"revision": attack.info.revision} if attack.info.revision > 1 else {}),
    }


def craft_key(
    source: Subject,
    gradient_source: str,
    attack: Attack,
    threat: ThreatModel,
    shard: Shard,
    *,
    seed: int,
    drop: bool,
) -> str:
    """Return the hash of everything that can change the crafted images; names of rows are not part of it."""
    spec = attack_spec("", attack)
    library = str(spec["library"])
    attacked = aimed_at(source, gradient_source, attack, threat)
    return content_hash(
        {
            "schema": SCHEMA,
            "kind": "craft",
            "engine": ENGINE,
            "source": attacked.fingerprint,
            "gradient_source": gradient_source,
            "attack": spec,
            "library_version": versions().get(library, "robench"),
            "threat": threat.spec(),
            "shard": shard.digest,
            "seed": seed,
            "drop": drop and attacked is source,
            # Said only where it is so: the keys of all other models stay what they were.
            **({"noise": "unseen"} if hides_noise(attacked.model, threat) else {}),
        }
    )


def record_key(
    target: Subject,
    source: Subject | None,
    label: str,
    eps_text: str,
    crafted_key: str,
    shard: Shard,
    *,
    draws: int = DRAWS,
) -> str:
    """Return the hash of one judged unit: the crafted images, who judges them, and the names in the table."""
    return content_hash(
        {
            "schema": SCHEMA,
            "kind": "judge",
            "engine": ENGINE,
            "target": [target.model.name, target.fingerprint],
            "source": source.model.name if source else "",
            "label": label,
            "eps_text": eps_text,
            "craft": crafted_key,
            "shard": shard.digest,
            "data": [shard.data.name, shard.data.split],
            # The clean unit also holds the answers to the questions put to the model itself.
            **({"findings": FINDINGS} if source else {"probes": PROBES}),
            # Said only where it is so: the keys of all other models stay what they were.
            **({"draws": draws} if target.model.random else {}),
        }
    )


def craft_unit(
    source: Subject,
    gradient_source: str,
    attack: Attack,
    threat: ThreatModel,
    shard: Shard,
    *,
    seed: int,
    drop: bool,
    batch_size: int,
    prepared: PreparedModels | None = None,
) -> Crafted:
    """Craft one shard on the source's device and return the result on the CPU.

    What broke a stand-in need not break the model itself, so there no image is dropped. Copies of the network
    that were proven on earlier units are found in `prepared`.
    """
    x, y = shard.data.batch(slice(None))
    attacked = aimed_at(source, gradient_source, attack, threat)
    device = attacked.model.device
    with batch_of(shard.data.indices):
        crafted = craft(
            attacked.model,
            attack,
            x.to(device),
            y.to(device),
            threat=threat,
            indices=shard.data.indices.to(device),
            source=None if attack.info.own_source else gradient_source,
            seed=seed_from(seed, "craft"),
            drop=drop and attacked is source,
            batch_size=batch_size,
            prepared=prepared.of(attacked.model) if prepared else None,
        )
    return replace(crafted, x_adv=crafted.x_adv.cpu(), ledger=crafted.ledger.cpu())


def asked_again(model: Model, known: Collection[str]) -> bool:
    """Tell whether the judge asks again under fresh noise: the model is random, or was found to be."""
    return model.random or RANDOM in known


def judge_unit(
    key: str,
    target: Subject,
    source: Subject | None,
    gradient_source: str,
    label: str,
    attack: Attack | None,
    board: Board | None,
    shard: Shard,
    crafted: Crafted | None,
    *,
    seed: int,
    clean: Labels | None,
    batch_size: int,
    known: Collection[str] = (),
    draws: int = DRAWS,
) -> tuple[Record, Labels]:
    """Judge one shard on one target; return the record and the clean predictions (B,) on the CPU.

    Without an attack (`crafted` None) the clean images themselves are judged, and the model is probed. What
    only follows from the codes that this gave, `known`, is not found again. A random model, and a network
    that was found to be random, is asked about each image `draws` more times, under noise that no attack has
    seen.
    """
    x, y = shard.data.batch(slice(None))
    model = target.model
    device = model.device
    threat = board.threat if board else ThreatModel(eps=0.0)
    goal = targets_of(y, model.classes).to(device) if threat.goal is Goal.TARGETED else None
    chance = seed_from(seed, "judge", shard.digest)
    # Lent to networks that draw from the global generators, so that their verdicts too come out again.
    with batch_of(shard.data.indices), borrowed_global_randomness(chance):
        verdict = judge(
            model,
            x.to(device),
            y.to(device),
            (crafted.x_adv if crafted else x).to(device),
            threat=threat,
            target=goal,
            clean=clean.to(device) if clean is not None else None,
            batch_size=batch_size,
            as_proposed=attack is not None and attack.info.unconfined,
        )
    findings = verdict.findings
    if crafted is None:
        with batch_of(shard.data.indices):
            findings = (*findings, *probe(model, x.to(device), y.to(device)))
        known = {finding.code for finding in findings}
    stood: list[str] = []
    if asked_again(model, known) and len(y):
        point = x.to(device)
        if crafted:
            point = landing(point, crafted.x_adv.to(device), threat).point
        with batch_of(shard.data.indices):
            answers = fresh_answers(model, point, draws=draws, seed=chance, batch_size=batch_size).cpu()
        wanted = goal.cpu() if goal is not None else None
        stands = ~reached(model, answers, y, wanted) & (answers != NOT_FINITE) if crafted else answers == y
        stood = ["".join("01"[one] for one in image) for image in stands.T.tolist()]
    spent = crafted.ledger if crafted else Ledger.empty(len(y))
    white_box = source is not None and source.model.name == model.name
    columns = Columns(
        index=shard.data.indices.tolist(),
        label=y.tolist(),
        clean=verdict.clean.tolist(),
        adversarial=verdict.adversarial.tolist(),
        status=[str(s) for s in verdict.status],
        linf=verdict.linf.tolist(),
        l2=verdict.l2.tolist(),
        forwards=[float(v) for v in spent.forwards.tolist()],
        backwards=[float(v) for v in spent.backwards.tolist()],
        first_success=spent.first_success.tolist(),
        points=spent.points.tolist(),
        tries=spent.tries.tolist(),
        first_passes=spent.first_passes.tolist(),
        first_try=spent.first_try.tolist(),
        stood=stood,
    )
    if crafted and white_box:
        findings = (*findings, *ledger_findings(crafted.ledger, verdict.status, known))
    stand_in = ""
    if source and attack and aimed_at(source, gradient_source, attack, threat) is not source:
        stand_in = aimed_at(source, gradient_source, attack, threat).fingerprint
    record = Record(
        key=key,
        target=RecordedTarget.read(target.spec()),
        source=RecordedSource.read(
            {
                "name": source.model.name if source else "",
                "fingerprint": source.fingerprint if source else "",
                "gradient_source": gradient_source,
                "gradients": int(crafted.ledger.gradients.max()) if crafted and len(y) else 0,
                **({"stand_in": stand_in} if stand_in else {}),
            }
        ),
        attack=RecordedAttack.read(attack_spec(label, attack)),
        threat=RecordedThreat.read(board.spec() if board else {}),
        dataset=RecordedDataset.read(
            {
                "name": shard.data.name,
                "split": shard.data.split,
                "digest": shard.digest,
                "set": shard.whole,
                "n": shard.total,
                "classes": list(shard.data.classes),
            }
        ),
        seed=seed,
        columns=columns,
        findings=findings,
        provenance=Provenance.read(
            {
                "versions": versions(),
                **hardware(str(device)),
                "batch_size": batch_size,
                "seconds": round(crafted.seconds, 6) if crafted else 0.0,
                **({"images_sha256": _sha256(crafted.x_adv)} if crafted else {}),
                **(engine_spec(crafted) if crafted else {}),
            }
        ),
    )
    return record, verdict.clean.cpu()


def engine_spec(crafted: Crafted) -> dict[str, Any]:
    """Return which copy of the network was attacked, and why faster ones were not."""
    return {"engine": {"used": crafted.engine, "not_used": dict(crafted.not_used)}} if crafted.engine else {}


def _sha256(images: Images) -> str:
    """Return the hash of images on the CPU: a verdict says nothing of a pixel that was changed a little."""
    return hashlib.sha256(images.contiguous().numpy().tobytes()).hexdigest()
