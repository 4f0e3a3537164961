"""Looks at the held-out part: natural accuracy, and accuracy under attack."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from defenses.training.attack_options import pgd
from defenses.training.averaging import EVALUATED
from defenses.training.inner_attack import InnerAttack, attackable
from defenses.training.objective import Stage
from robench.data.images import ImageSet
from robench.model.interface import Model, predictions
from robench.randomness import Randomness, borrowed_global_randomness
from robench.types import Images, Labels, Mask


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Accuracies on the held-out part after an epoch.

    Attributes:
        natural: on the images as they are.
        own: under the defense's own attack, None if it knows of none.
        watched: under PGD at `monitor_eps`, None if that is not set.
        images: how many images were held out.
    """

    natural: float
    own: float | None
    watched: float | None
    images: int

    @property
    def score(self) -> float:
        """What checkpoints are chosen by."""
        return self.natural if self.own is None else self.own

    def row(self) -> dict[str, float]:
        """Return the entries of a row of the history; what was not measured is absent."""
        found = {"validation_accuracy": self.natural}
        robust = self.own if self.watched is None else self.watched
        if robust is not None:
            found["validation_robust_accuracy"] = robust
        if self.watched is not None and self.own is not None:
            found["validation_own_accuracy"] = self.own
        return found | {"validation_images": self.images}


def look(stage: Stage, data: ImageSet, *, seed: int, layout: torch.memory_format) -> Verdict:
    """Judge a stage's network on the held-out part; every epoch is attacked from the same random starts.

    Args:
        stage: its network is put into evaluation mode.
        data: the held-out part, on the network's device.
        seed: of the training.
        layout: memory format of the images.
    """
    stage.network.eval()
    model = stage.classifier() if stage.classifier else attackable(stage.network, len(data.classes))
    natural = own = watched = 0
    attacked, monitor = True, _monitor(stage, model)
    for rows in torch.split(torch.arange(len(data), device=data.labels.device), EVALUATED):
        x, y = data.batch(rows)
        x = x.contiguous(memory_format=layout)
        with torch.no_grad():
            correct = predictions(model.net(x)) == y
        natural += int(correct.sum())
        if not bool(correct.any()):
            continue
        rng = Randomness(seed, data.indices[rows[correct]], ("validation",))
        x, y = x[correct].contiguous(memory_format=layout), y[correct]
        with borrowed_global_randomness(rng.torch_seed()):
            if attacked:
                survivors = stage.objective.survives(x, y, rng)
                attacked = survivors is not None
                own += 0 if survivors is None else int(survivors.sum())
            if monitor is not None:
                watched += int(_survives(monitor, stage, x, y, rng.split("monitor")).sum())
    count = len(data)
    attacked &= bool(natural) or stage.objective.adversarial  # with nothing right, nothing was asked
    return Verdict(
        natural=natural / count,
        own=own / count if attacked else None,
        watched=None if monitor is None else watched / count,
        images=count,
    )


def _monitor(stage: Stage, model: Model) -> InnerAttack | None:
    options = stage.options
    if options.monitor_eps is None:
        return None
    return InnerAttack(
        model=model,
        norm=options.monitor_norm,
        attack=pgd(steps=options.monitor_steps),
        source=model.sources.get("straight_through"),
    )


def _survives(monitor: InnerAttack, stage: Stage, x: Images, y: Labels, rng: Randomness) -> Mask:
    assert stage.options.monitor_eps is not None  # there is a monitor
    return monitor.survives(x, y, rng, stage.options.monitor_eps)
