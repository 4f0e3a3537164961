"""Groups the records of many independent runs by board."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence

from reports.board.grouping import requested_attacks, split_into_boards
from reports.board.identities import model_names, model_of, shown_names
from reports.board.samples import Samples
from robench.record.schema import Record


def boards_of_many_runs(records: Iterable[Record]) -> list[Samples]:
    """Group the records of many runs by board.

    A model has one unique name on all boards. A board contains the models that were attacked under its
    threat, or that a plan has there, not all models that were measured on the same images.
    """
    own_samples = (_of_whole_runs(_tried(own)) for own in split_into_boards(records))
    return _with_common_names([_with_request(own) for own in own_samples])


def _tried(own: Samples) -> Samples:
    threat = own.setting.threat
    if not threat.norm:
        return own
    stays = {model_of(record.target) for record in (*own.attacked, *own.bounds)}
    stays |= {model_of(r.target) for r in own.clean if r.planned and r.planned.has(threat)}
    sources = {model_of(record.source) for record in (*own.attacked, *own.bounds)}
    leavers = {model_of(record.target) for record in own.clean} - stays
    return dataclasses.replace(
        own,
        clean=tuple(record for record in own.clean if model_of(record.target) in stays),
        names={model: name for model, name in own.names.items() if model not in leavers - sources},
        missing={model: lacks for model, lacks in own.missing.items() if model not in leavers},
    )


def _of_whole_runs(own: Samples) -> Samples:
    """Do not let an interrupted run make a model incomplete if another run of its weights is complete.

    The interrupted run's records still count, and if it has an additional attack on a part of the images, the
    row lacks the others.
    """
    rows = {own.names[model] for model in own.names if not model.startswith(":")}
    missing = {
        model: () if model in own.whole else lacks
        for model, lacks in own.missing.items()
        if not (model.startswith(":") and model[1:] in rows)
    }
    names = {
        model: name for model, name in own.names.items() if model in missing or not model.startswith(":")
    }
    return dataclasses.replace(own, missing=missing, names=names)


def _with_request(own: Samples) -> Samples:
    return dataclasses.replace(own, asked=requested_attacks(own))


def _with_common_names(every: Sequence[Samples]) -> list[Samples]:
    records = [r for own in every for r in (*own.clean, *own.attacked, *own.bounds)]
    absent = {model: (model[1:], "no record") for own in every for model in own.missing if model[0] == ":"}
    names = shown_names({**absent, **model_names(records)})
    return [dataclasses.replace(own, names={model: names[model] for model in own.names}) for own in every]
