"""The work of a finished run, made again from its folder: models, images, and how attacks evaluated them.

A model may then have other weights, code or settings than its records say: the differences are reported.
"""

from __future__ import annotations

from collections.abc import Iterable

from robench.engines import Engine
from robench.errors import StorageError
from robench.plan.spec import Plan
from robench.record.schema import Record
from robench.record.store import Store
from robench.run.layout import boards_of
from robench.run.models.preparation import Workshop
from robench.run.settings import Settings
from robench.run.work import Work

_WORDS = {
    "checkpoint": "weights",
    "code_sha256": "code",
    "defense_code_sha256": "code of the defense",
    "architecture": "architecture, or place of its file",
    "normalize": "normalisation",
}
"""The details of a model in words, by their names in records."""


def failed_models(store: Store) -> dict[str, str]:
    """Return the reasons, by name, that the run gives for models it could not make: they have no rows."""
    failures = store.facts()[0].get("failed_models", {})
    return {str(name): str(text) for name, text in failures.items()}


def engine_of(store: Store) -> Engine:
    """Return the engine of a run, if its keys contain the engine."""
    options = store.facts()[0].get("asked")
    return "bfloat16" if isinstance(options, dict) and options.get("engine") == "bfloat16" else "auto"


def rebuilt_work(plan: Plan, workshop: Workshop, engine: Engine) -> Work:
    """Return the work of a plan with the models that its run had; nothing is trained.

    Raises:
        StorageError: weights that the run trained are gone.
    """
    data = workshop.load(plan.data)
    lacks = workshop.untrained(data.shape, len(data.classes))
    names = [name for name in lacks if name not in workshop.failures]
    if names:
        raise StorageError(
            where="verify",
            expected="the weights the run was made with",
            got=f"none for {', '.join(names)}",
            do="Keep the folder `models` of the run",
        )
    return Work(
        models=workshop.models(data.shape, len(data.classes)),
        data=data,
        boards=boards_of(plan.threats, trust_code=workshop.environment.trust_code),
        settings=Settings.of(plan, engine=engine),
    )


def changed_models(work: Work, records: Iterable[Record]) -> list[str]:
    """Return a text for each model of a plan that has other weights, code or settings than its records."""
    targets = {record.target.name: record.target for record in records}
    texts = []
    for entry in work.models:
        before = targets.get(entry.model.name)
        if before is None or before.fingerprint == entry.fingerprint:
            continue
        now = entry.model.details
        names = [
            _WORDS.get(name, name)
            for name in sorted({*before.details, *now} - {"network_sha256"})
            if str(before.details.get(name)) != str(_plain(now.get(name)))
        ]
        # Of a graph head the features of its template count too, and they round by the number of threads.
        wording = "weights, or threads that round its template," if entry.model.template else "weights"
        texts.append(f"{entry.model.name} has other {' and '.join(names) or wording}")
    return texts


def _plain(value: object) -> object:
    """Return a detail as records hold it: with lists in place of tuples."""
    return [_plain(one) for one in value] if isinstance(value, list | tuple) else value
