"""Accuracies on the held-out part of the training data: natural, and under attack."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from defenses.training.averaging import EVALUATION_BATCH
from defenses.training.inner_attack import InnerAttack, model_of, pgd
from defenses.training.objective import Stage
from robench.data.images import ImageSet
from robench.model.interface import Model, predictions
from robench.randomness import Randomness, borrowed_global_randomness


@dataclass(frozen=True, slots=True, kw_only=True)
class ValidationAccuracy:
    """Accuracies on the held-out part after an epoch, each from 0 to 1.

    Attributes:
        natural: on the clean images.
        own: under the defense's own attack, None if it has none.
        monitored: under PGD at `monitor_eps`, None if that is not set.
        images: how many images were held out.
    """

    natural: float
    own: float | None
    monitored: float | None
    images: int

    @property
    def score(self) -> float:
        """The accuracy that chooses checkpoints."""
        return self.natural if self.own is None else self.own

    def row(self) -> dict[str, float]:
        """Return the entries of a row of the history, without values that were not measured."""
        entries = {"validation_accuracy": self.natural}
        robust = self.own if self.monitored is None else self.monitored
        if robust is not None:
            entries["validation_robust_accuracy"] = robust
        if self.monitored is not None and self.own is not None:
            entries["validation_own_accuracy"] = self.own
        return entries | {"validation_images": self.images}


def validate(stage: Stage, data: ImageSet, *, seed: int, layout: torch.memory_format) -> ValidationAccuracy:
    """Judge a stage's network on the held-out part; every epoch is attacked from the same random starts.

    Args:
        stage: its network is put into evaluation mode.
        data: the held-out part, on the network's device.
        seed: of the training.
        layout: memory format of the images (B, C, H, W).
    """
    network = stage.network.eval()
    model = stage.classifier() if stage.classifier else model_of(stage.network, len(data.classes))
    natural = own = survivors_of_monitor = 0
    has_attack, monitor, eps = True, _monitor(stage, model), stage.options.monitor_eps
    for rows in torch.split(torch.arange(len(data), device=data.labels.device), EVALUATION_BATCH):
        x, y = data.batch(rows)
        x = x.contiguous(memory_format=layout)
        network.eval()  # an inner attack restores the mode that its own wrapper has saved
        with torch.no_grad():
            correct = predictions(model.net(x)) == y
        natural += int(correct.sum())
        if not bool(correct.any()):
            continue
        rng = Randomness(seed, data.indices[rows[correct]], ("validation",))
        x, y = x[correct].contiguous(memory_format=layout), y[correct]
        with borrowed_global_randomness(rng.torch_seed()):
            if has_attack:
                survivors = stage.objective.survives(x, y, rng)
                has_attack = survivors is not None
                own += 0 if survivors is None else int(survivors.sum())
            if monitor is not None and eps is not None:
                survivors_of_monitor += int(monitor.survives(x, y, rng.split("monitor"), eps).sum())
    network.eval()
    count = len(data)
    has_attack &= bool(natural) or stage.objective.adversarial  # with no right image the attack did not run
    return ValidationAccuracy(
        natural=natural / count,
        own=own / count if has_attack else None,
        monitored=None if monitor is None else survivors_of_monitor / count,
        images=count,
    )


def _monitor(stage: Stage, model: Model) -> InnerAttack | None:
    """Return the monitoring attack, if the options have one."""
    options = stage.options
    if options.monitor_eps is None:
        return None
    return InnerAttack(
        model=model,
        norm=options.monitor_norm,
        attack=pgd(steps=options.monitor_steps),
        source=model.sources.get("straight_through"),
    )
