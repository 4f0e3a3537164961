"""Checks a plan like a run does, without training, evaluating or writing, to find errors early."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from robench.data.images import ImageSet
from robench.errors import JobError
from robench.plan.named_code import check_allowed
from robench.plan.spec import Plan
from robench.run.evaluated_model import EvaluatedModel
from robench.run.layout import boards_of
from robench.run.models.preparation import Workshop
from robench.run.progress import QUIET, Reporter
from robench.run.settings import Environment, Settings
from robench.run.time_estimate import multiplied
from robench.run.work import Work


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """The starting state of a run of a plan.

    Attributes:
        data: the images.
        models: the models; those to be trained have their initial weights.
        units: number of records that the run would make.
        warnings: which parts would take long, in words.
    """

    data: ImageSet
    models: list[EvaluatedModel]
    units: int
    warnings: tuple[str, ...] = ()


def try_out(plan: Plan, folder: Path, environment: Environment, reporter: Reporter = QUIET) -> Trial:
    """Do the same as a run before its first unit, without the trainings.

    Args:
        plan: the validated plan.
        folder: the run folder; read if it exists.
        environment: device and permissions of the run.
        reporter: shows progress.

    Raises:
        RobenchError: the plan cannot be run here; the same error as in a run.
    """
    environment = environment.resolved()
    check_allowed(plan, trust_code=environment.trust_code)
    boards = boards_of(plan.threats, trust_code=environment.trust_code)
    workshop = Workshop(plan, folder / "models", replace(environment, force=False), reporter, trains=False)
    data = workshop.load(plan.data)
    models = workshop.models(data.shape, len(data.classes))
    for name, reason in workshop.failures.items():
        raise JobError(where=f"model {name!r}", expected="a model", got=reason)
    work = Work(models=models, data=data, boards=boards, settings=Settings.of(plan))
    for _ in work.shards():  # a joint model may refuse the sizes of its graphs
        pass
    return Trial(data=data, models=models, units=work.units(), warnings=tuple(multiplied(work)))
