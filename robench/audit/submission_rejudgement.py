"""Evaluate the networks of a run or submission again, on clean images and on those that broke them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from robench.attack.norms import norm_named
from robench.attack.threat import Goal, ThreatModel, targets_under
from robench.audit.run_rejudgement import TOLERANCE
from robench.audit.verify import read_plan
from robench.data.images import ImageSet, images_hash
from robench.errors import RobenchError
from robench.judge.verdict import classify, judge
from robench.plan.spec import ModelSpec, Plan
from robench.plurals import counted
from robench.record.exchange.broken_images import BrokenImages, attacked_places, is_proof
from robench.record.schema import Finding, Record, Status
from robench.record.store import Store
from robench.run.evaluated_model import EvaluatedModel
from robench.run.models.preparation import Workshop
from robench.run.settings import Environment

BATCH = 250


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The result of evaluating one model again.

    Attributes:
        model: its name.
        reason: why it was not evaluated; empty if it was.
        do: the remedy, if there is one.
        clean: number of clean images on which it was evaluated.
        broken: number of images said to break it on which it was evaluated.
        changed_clean: number of clean images to which it gives another class than before.
        unbroken: number of the images in `broken` that do not break it.
        attacked: number of images under attack, counted under each threat, that the records say stood or were
            broken; of those that stood no image is kept.
    """

    model: str
    reason: str = ""
    do: str = ""
    clean: int = 0
    broken: int = 0
    changed_clean: int = 0
    unbroken: int = 0
    attacked: int = 0

    @property
    def holds(self) -> bool:
        """Whether the differences are few enough to be explained by rounding."""
        return not any(
            differ > TOLERANCE * total
            for differ, total in ((self.changed_clean, self.clean), (self.unbroken, self.broken))
        )

    @property
    def text(self) -> str:
        """The result in words."""
        if self.reason:
            return f"not re-judged: {self.reason}"
        differ = self.changed_clean + self.unbroken
        word = f"{differ} differ" if differ else "all as stated"
        images = counted(self.clean, "clean image")
        if self.attacked:
            images += f" and {self.broken} of {counted(self.attacked, 'attacked image')}"
        rest = self.attacked - self.broken
        note = f"; {rest} said to stand {'is' if rest == 1 else 'are'} not at hand" if rest > 0 else ""
        return f"{'holds' if self.holds else 'does NOT hold'}: {images}, {word}{note}"


def judge_again(
    store: Store,
    records: Sequence[Record],
    broken: Iterable[BrokenImages],
    *,
    folders: Sequence[Path],
    environment: Environment,
) -> list[Answer]:
    """Evaluate every available model of a run; nothing is trained and nothing is written.

    Args:
        store: the folder with the plan.
        records: the records in the folder.
        broken: the images that broke its models.
        folders: folders that may contain trained networks.
        environment: where to rebuild the models.
    """
    names = list(dict.fromkeys(record.target.name for record in records))
    try:
        plan = read_plan(store)
        data = Workshop(plan, folders[0], environment).load(plan.data)
    except RobenchError as error:
        return [Answer(model=name, reason=_short(error)) for name in names]
    set_digest = images_hash(data)
    own_broken: dict[str, list[BrokenImages]] = {}
    for one in broken:
        own_broken.setdefault(one.record.target.name, []).append(one)
    return [
        _answer(
            name,
            [record for record in records if record.target.name == name],
            own_broken.get(name, []),
            data,
            set_digest,
            plan,
            folders,
            environment,
        )
        for name in names
    ]


def _answer(
    name: str,
    own: Sequence[Record],
    images: Sequence[BrokenImages],
    data: ImageSet,
    set_digest: str,
    plan: Plan,
    folders: Sequence[Path],
    environment: Environment,
) -> Answer:
    if any(record.target.joint for record in own):
        return Answer(model=name, reason="its images share graphs")
    if any(record.draws for record in own):
        return Answer(model=name, reason="it answers at random")
    if any(record.dataset.set != set_digest for record in own):
        return Answer(model=name, reason="the images at hand are others")
    try:
        entry = _model(name, plan, folders, data, environment)
    except RobenchError as error:
        return Answer(model=name, reason=_short(error), do=error.do)
    if entry is None:
        return Answer(
            model=name,
            reason="its weights are not at hand",
            do="Name a run folder that has them: --models RUN",
        )
    if any(record.target.fingerprint != entry.fingerprint for record in own):
        return Answer(model=name, reason="the network at hand is another one")
    place = {index: row for row, index in enumerate(data.indices.tolist())}
    if any(index not in place for record in own for index in record.columns.index):
        return Answer(model=name, reason="the images at hand are others")
    clean = [record for record in own if record.attack.is_clean]
    try:
        clean_changes = sum(_changed(entry, record, data, place) for record in clean)
        survivals = sum(_unbroken(entry, one, data, place) for one in images)
    except RobenchError as error:
        return Answer(model=name, reason=_short(error))
    return Answer(
        model=name,
        clean=sum(len(record.columns) for record in clean),
        broken=sum(len(one.positions) for one in images),
        changed_clean=clean_changes,
        unbroken=survivals,
        attacked=len({image for record in own if is_proof(record) for image, _ in attacked_places(record)}),
    )


def _model(
    name: str, plan: Plan, folders: Sequence[Path], data: ImageSet, environment: Environment
) -> EvaluatedModel | None:
    """Return a model whose weights are in one of the folders, or in the file that the plan names."""
    for specs in _parts(plan, name):
        alone = dataclasses.replace(plan, models=tuple(specs), threats=())
        for folder in folders:
            workshop = Workshop(alone, folder, environment)
            if not workshop.untrained(data.shape, len(data.classes)):
                models = workshop.models(data.shape, len(data.classes))
                return next((one for one in models if one.model.name == name), None)
    return None


def _parts(plan: Plan, name: str) -> Iterator[list[ModelSpec]]:
    """Yield the entries of a plan needed to make one model: its own, and the one whose network it shares."""
    for spec in plan.models:
        if spec.name == name:
            yield [one for one in plan.models if one.name in {name, spec.features_of}]


def _rows(record: Record, positions: Sequence[int], place: dict[int, int]) -> torch.Tensor:
    index = record.columns.index
    return torch.tensor([place[index[position]] for position in positions], dtype=torch.int64)


def _changed(entry: EvaluatedModel, record: Record, data: ImageSet, place: dict[int, int]) -> int:
    rows = _rows(record, range(len(record.columns)), place)
    x, y = data.batch(rows)
    answers = classify(entry.model, x.to(entry.model.device), batch_size=BATCH).cpu()
    other = answers != torch.tensor(list(record.columns.clean))
    return int((other | (y != torch.tensor(list(record.columns.label)))).sum())


def _unbroken(entry: EvaluatedModel, one: BrokenImages, data: ImageSet, place: dict[int, int]) -> int:
    threat = one.record.threat
    model, rows = entry.model, _rows(one.record, one.positions, place)
    x, y = (tensor.to(model.device) for tensor in data.batch(rows))
    x_adv = torch.from_numpy(one.x_adv).to(model.device)
    if x_adv.shape != x.shape:
        return len(rows)
    goal = Goal.TARGETED if threat.goal == str(Goal.TARGETED) else Goal.UNTARGETED
    verdict = judge(
        model,
        x,
        y,
        x_adv,
        threat=ThreatModel(
            norm=norm_named(threat.norm),
            eps=float(threat.eps),
            bounds=threat.bounds or (0.0, 1.0),
            goal=goal,
        ),
        target=targets_under(goal, y, model.classes),
        batch_size=BATCH,
    )
    return sum(str(status) != Status.BROKEN for status in verdict.status)


def doubted(records: Sequence[Record], answers: Sequence[Answer]) -> list[Record]:
    """Return the records, with a finding on those of every model whose stated results are wrong."""
    failures = {answer.model: answer for answer in answers if not answer.reason and not answer.holds}

    def noted(record: Record) -> Record:
        answer = failures.get(record.target.name)
        if answer is None:
            return record
        finding = Finding(
            code="not-reproduced",
            evidence=f"asked again, the network gives another class to {answer.changed_clean} of "
            f"{answer.clean} clean images, and {answer.unbroken} of {counted(answer.broken, 'image')} "
            "that are said to "
            "have broken it do not",
            remedy="Run `robench verify` where it was measured, and submit what comes out",
        )
        return record.noting(findings=(*record.findings, finding))

    return [noted(record) for record in records]


def _short(error: RobenchError) -> str:
    return f"expected {error.expected}, got {error.got}"[:160]
