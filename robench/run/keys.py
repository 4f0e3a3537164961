"""Keys of stored results: the hash of everything that can change images, a verdict or a bound.

Equal work in two runs has the same key and is done once. A new field enters a key only if it changes
something, so that all other keys stay the same.
"""

from __future__ import annotations

from typing import Any

from robench.attack.protocol import Attack
from robench.judge.attack_findings import TRANSFER_VERSION as TRANSFER_FINDINGS
from robench.judge.attack_findings import VERSION as FINDINGS
from robench.judge.probes import VERSION as PROBES
from robench.judge.verdict import VERSION as JUDGE
from robench.machine import versions
from robench.model.prepared import VERSION as ENGINE
from robench.plan.spec import SCHEMA, content_hash
from robench.recipe import identity_of
from robench.run.crafting import Crafting
from robench.run.evaluated_model import EvaluatedModel
from robench.run.settings import Settings
from robench.run.shards import Shard

OWN_ATTACKS = "0.1.0"
"""Stands for every version of our own attacks, so that a new version of robench keeps earlier results.

An attack raises its `revision` when its images change.
"""

CLEAN = "clean"
"""Label of the evaluation without attack."""


def crafting_key(crafting: Crafting, shard: Shard, settings: Settings) -> str:
    """Return the hash of everything that can change crafted images; names of rows are not part of it.

    Args:
        crafting: attack, threat, and the model that the attack really runs on.
        shard: the images.
        settings: the seed, and the engine if it changes more than rounding.
    """
    model, spec = crafting.attacked, attack_spec("", crafting.attack)
    library = str(spec["library"])
    return content_hash(
        {
            "schema": SCHEMA,
            "kind": "craft",
            "engine": ENGINE,
            "source": model.fingerprint,
            "gradient_source": crafting.gradient_source,
            "attack": spec,
            "library_version": OWN_ATTACKS if library == "robench" else versions().get(library, "robench"),
            "threat": crafting.threat.spec(),
            "shard": shard.digest,
            "seed": settings.seed,
            "drop": crafting.drop and not settings.to_the_end,
            **({"noise": "unseen"} if crafting.hides_noise else {}),
            **({"copies": model.copies} if model.copies > 1 else {}),
            **({"gradients": "bfloat16"} if settings.engine == "bfloat16" else {}),
        }
    )


def record_key(
    target: EvaluatedModel,
    shard: Shard,
    settings: Settings,
    *,
    crafting: Crafting | None = None,
    crafted: str = "",
) -> str:
    """Return the hash of one judged unit: the crafted images, the judging model, and the names in the table.

    Args:
        target: the model that judges.
        shard: the images.
        settings: how often a random model classifies each image.
        crafting: how they are crafted; None for clean images.
        crafted: key of the crafted images; empty for clean images.
    """
    source = crafting.source.model.name if crafting else ""
    findings = FINDINGS if source == target.model.name else TRANSFER_FINDINGS
    return content_hash(
        {
            "schema": SCHEMA,
            "kind": "judge",
            "engine": ENGINE,
            "target": [target.model.name, target.fingerprint],
            "source": source,
            "label": crafting.label if crafting else CLEAN,
            "eps_text": crafting.board.eps_text if crafting else "",
            "craft": crafted,
            "shard": shard.digest,
            "data": [shard.data.name, shard.data.split],
            # The clean unit also contains the results of the probes of the model.
            **({"findings": findings} if crafting else {"probes": PROBES}),
            **({"judge": JUDGE} if JUDGE > 1 else {}),
            **({"draws": settings.draws} if target.model.random else {}),
        }
    )


def attack_spec(label: str, attack: Attack | None) -> dict[str, Any]:
    """Return the plain JSON description of an attack; None means no attack."""
    if attack is None:
        return {"label": label, "name": CLEAN, "options": {}, "library": "robench", "minimises": False}
    kind = type(attack)
    return {
        "label": label,
        "name": attack.info.identity or f"{kind.__module__}:{kind.__qualname__}",
        "title": attack.info.title,
        "options": identity_of(attack),
        "library": attack.info.library,
        "minimises": attack.info.minimises,
        "needs": str(attack.info.knowledge),
        "control": attack.info.control,
        # Only added if it is set: the keys of all other attacks stay the same.
        **({"revision": attack.info.revision} if attack.info.revision > 1 else {}),
        **({"code_sha256": attack.info.code} if attack.info.code else {}),
        **({"library_version": attack.info.library_version} if attack.info.library_version else {}),
    }
