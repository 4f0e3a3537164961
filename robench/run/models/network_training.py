"""One training of a network, in a folder of its own: from initial to chosen weights, and their card."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from robench.data.images import ImageSet
from robench.errors import JobError, RobenchError
from robench.intake.user_code import is_reference
from robench.model.builder import Builder
from robench.model.defense import Defense, TrainingContext
from robench.model.out_of_memory import is_out_of_memory, reason_of
from robench.model.trained import BeforeTraining, output_count
from robench.plan.spec import ModelSpec, Plan
from robench.plurals import counted
from robench.randomness import seed_from
from robench.record.training_history import robust_overfitting, seconds_of, unchanged_text, write_history
from robench.run.models.finished_training import FinishedTraining
from robench.run.models.training_folder import STATE, abandon, begin
from robench.run.models.training_identity import TrainingIdentity
from robench.run.progress import Reporter
from robench.run.settings import Environment

if TYPE_CHECKING:
    from torch import Tensor

LAST = "last.safetensors"
"""The weights of a training's last epoch, beside the chosen ones."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkTraining:
    """Trains the network of one model.

    Attributes:
        plan: the plan that contains the model.
        spec: the model; it has a training.
        identity: everything that can change the trained weights.
        path: where these will lie, in the folder of the training.
        defense: what trains.
        environment: where it is done; its device is resolved.
        reporter: gets the progress.
        builder: keeps weights.
    """

    plan: Plan
    spec: ModelSpec
    identity: TrainingIdentity
    path: Path
    defense: Defense
    environment: Environment
    reporter: Reporter
    builder: Builder

    def __call__(self, module: Any, data: ImageSet) -> tuple[str, int]:
        """Train a network on some images, and write its weights and their card.

        Returns:
            The hash of the file, and how many parameters there are if the training changed none, else 0.

        Raises:
            JobError: the training failed.
            RobenchError: an option is refused.
        """
        spec, defense, identity, path = self.spec, self.defense, self.identity, self.path
        if not defense.info.uses_unlabelled:
            data = data.labelled()
        self.reporter.stage(
            f"training {spec.name}: {identity.defense} on {counted(len(data), 'image')} of {data.name}"
        )
        if self.environment.force:
            abandon(path.parent, spec.name)
        begin(path.parent, identity)
        state, file = path.parent / STATE, path.parent / "history.csv"
        last: dict[str, Tensor] = {}
        goes_on = state.is_file()
        context = TrainingContext(
            seed=seed_from(self.plan.seed, "train"),
            device=self.environment.device,
            state=state,
            identity=identity.to_json(),
            progress=self._progress(goes_on=goes_on),
            history=file,
            last=last.update,
        )
        before, count = self._before(module, data)
        start = time.perf_counter()
        try:
            history = defense(module, data, context=context)
        except RobenchError:
            raise
        except (Exception, SystemExit) as error:
            # A defense is a plugin: any error in it fails this model only.
            where = f"training {spec.name}"
            if is_out_of_memory(error):
                got, do = reason_of(error), "Lower the defense's option `batch_size`, or use a larger device"
                raise JobError(where=where, expected="memory for a step", got=got, do=do) from error
            text = "".join(traceback.format_exception(error)).strip()
            raise JobError(where=where, expected="weights", got=text) from error
        seconds = seconds_of(history)
        if seconds is None and not goes_on:  # a training of a user's file need not measure its epochs
            seconds = time.perf_counter() - start
        before.check(module, where=f"training {spec.name}", count=count)
        if history and not file.is_file():  # robench's own defenses write it after every epoch
            write_history(file, history)
        unchanged_count = before.unchanged(module, defense)
        training = FinishedTraining(
            plan=self.plan,
            spec=spec,
            identity=identity,
            defense=defense,
            data=data,
            parameters=sum(parameter.numel() for parameter in module.parameters()),
            rows=history,
            seconds=seconds,
            unchanged=unchanged_count,
        )
        if last:
            weights = {name: tensor.clone() for name, tensor in module.state_dict().items()}
            module.load_state_dict(last)
            self.builder.save(module, path.with_name(LAST), card=training.card("last"))
            module.load_state_dict(weights)
        digest = self.builder.save(module, path, card=training.card("chosen"))
        state.unlink(missing_ok=True)
        no_change = unchanged_text(unchanged_count) if unchanged_count else ""
        for doubt in filter(None, (robust_overfitting(history), no_change)):
            self.reporter.finding(f"{spec.name}: {doubt}")
        return digest, unchanged_count

    def _progress(self, *, goes_on: bool) -> Callable[[dict[str, float]], None]:
        """Return the callback for the training's rows; on resume, its first call reports the last epoch."""
        waiting = goes_on

        def tell(row: dict[str, float]) -> None:
            nonlocal waiting
            if waiting and "epoch" in row:
                self.reporter.stage(f"training {self.spec.name}: goes on after epoch {row['epoch'] - 1:.0f}")
            waiting = False
            self.reporter.training(row)

        return tell

    def _before(self, module: Any, data: ImageSet) -> tuple[BeforeTraining, Callable[[], int] | None]:
        """Return the network's state before training, and a function that counts its outputs.

        Outputs are counted for user code only: our defenses do not change the layers.
        """
        train = self.spec.train
        if train is None or not is_reference(train.defense.name):
            return BeforeTraining.of(module), None
        count = partial(output_count, module, data.batch(slice(0, 2))[0])
        try:
            return BeforeTraining.of(module, count()), count
        except Exception:  # noqa: BLE001 - its training will raise the same error
            return BeforeTraining.of(module), None
