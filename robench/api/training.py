"""A defense by name on a user's network."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from torch import nn

from robench.api import html
from robench.api.learned import note_learned
from robench.api.makers import check_outputs, columns_of, device_of, own_object, training_set
from robench.data.images import ImageSet, check_coverage
from robench.errors import InputError
from robench.model.defense import Defense, DefenseInfo, TrainingContext
from robench.model.trained import BeforeTraining, output_count
from robench.model.user_defenses import check_stage, defense_from, defense_of
from robench.plan.spec import Choice
from robench.randomness import seed_from
from robench.record.training_history import chosen_row, unchanged_text
from robench.run.models.radius_checks import warn_of_wide_training

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True, kw_only=True, repr=False, eq=False)
class Training:
    """The result of a training.

    Attributes:
        network: the network that was trained: the same object as the argument.
        defense: the name of the method.
        history: one dict of numbers for each epoch; `pandas.DataFrame(training.history)` is the table.
        doubts: reasons why it may have trained nothing, for example if no weight has changed; usually empty.
    """

    network: nn.Module
    defense: str
    history: tuple[dict[str, float], ...]
    doubts: tuple[str, ...] = ()

    def to_frame(self) -> pd.DataFrame:
        """Return a table of the history: a line for each epoch."""
        import pandas as pd

        return pd.DataFrame(list(self.history))

    def __repr__(self) -> str:
        """Return one line: method, network, the epoch whose weights the network has, and its row."""
        row = chosen_row(self.history) or {}
        values = [f"{k} {v:.4g}" for k, v in row.items() if k not in {"epoch", "best"}]
        numbers = ", ".join([self._kept_epoch(), *values])
        doubts = "".join(f"; doubt: {doubt}" for doubt in self.doubts)
        return f"Training({self.defense} of {type(self.network).__name__}; {numbers}{doubts})"

    def _repr_html_(self) -> str:
        names = list(dict.fromkeys(name for row in self.history for name in row))
        rows = [[f"{row[name]:.4g}" if name in row else "" for name in names] for row in self.history]
        doubts = "".join(f"; doubt: {doubt}" for doubt in self.doubts)
        epoch = f"; {self._kept_epoch()}" if len(self.history) > 1 else ""
        return html.table(f"{self.defense} of {type(self.network).__name__}{epoch}{doubts}", names, rows)

    def _kept_epoch(self) -> str:
        """Return which epoch's weights the network has, such as `epoch 4 of 6 kept`."""
        epoch = f"epoch {(chosen_row(self.history) or {}).get('epoch', 1):.4g}"
        return f"{epoch} of {len(self.history)} kept" if len(self.history) > 1 else epoch


def train(
    net: nn.Module,
    images: ImageSet | tuple[Any, Any],
    defense: str | Defense | Callable[..., Any] = "natural",
    *,
    seed: int = 0,
    device: str | None = None,
    progress: Callable[[dict[str, float]], None] | None = None,
    **options: Any,
) -> Training:
    """Train a network in place with a defense; the same seed gives the same weights.

    Args:
        net: images (B, C, H, W) in [0, 1] to logits (B, classes); its weights change, nothing else.
        images: labelled training images: an ImageSet of the split `train`, or images and labels.
        defense: a plugin's name such as `pgd_training` or `trades` (`robench list defenses`), or
            `path/to/mine.py:NAME`, which is run; a function `(network, images)` that trains in place, with
            further parameters as options; or a class with a `DefenseInfo`.
        seed: seed of all random numbers.
        device: where to train; by default where the network is.
        progress: called with the row of every epoch, and every few steps with one that has `step`.
        options: of the defense, such as `epochs=5` or `eps="8/255"`.

    Raises:
        InputError: the network does not accept such images, or has fewer outputs than there are classes; the
            images are refused, or a class has no image.
        PluginError: no defense has that name.
        ConfigError: an option is unknown or refused, or the defense belongs in front of a trained model.
        JobError: the training failed, for example because its loss or the trained weights were NaN, or the
            trained network has another number of outputs.
    """
    candidate: object = net
    if not isinstance(candidate, nn.Module):
        got = (
            f"the class {candidate.__name__}"
            if isinstance(candidate, type)
            else f"a {type(candidate).__name__}"
        )
        raise InputError(where="train", expected="a torch.nn.Module", got=got)
    recipe = _recipe(defense, options)
    name = defense if isinstance(defense, str) else str(getattr(defense, "__name__", type(defense).__name__))
    data = training_set(images, where="train")
    check_coverage(data, where="train")
    columns = columns_of(net, data.batch(slice(0, 2))[0], where="train")
    if columns < len(data.classes):
        expected = f"a network with {len(data.classes)} outputs, one for each class"
        raise InputError(where="train", expected=expected, got=str(columns))
    check_outputs(data.labels[data.labels >= 0], columns, where="train")
    if not any(parameter.requires_grad for parameter in net.parameters()):
        do = "Call `net.requires_grad_(True)`" if any(True for _ in net.parameters()) else ""
        raise InputError(where="train", expected="a network with weights to train", got="none", do=do)
    warn_of_wide_training(recipe, data.shape)
    context = TrainingContext(
        seed=seed_from(seed, "train"),
        device=device or str(device_of(net)),
        state=None,
        identity={},
        progress=progress or (lambda _: None),
    )
    before = BeforeTraining.of(net, columns)
    history = recipe(net, data if recipe.info.uses_unlabelled else data.labelled(), context=context)
    note_learned(net, data)
    before.check(net, where=name, count=lambda: output_count(net, data.batch(slice(0, 2))[0]))
    unchanged_count = before.unchanged(net, recipe)
    doubts = (unchanged_text(unchanged_count),) if unchanged_count else ()
    return Training(network=net, defense=name, history=tuple(history), doubts=doubts)


def _recipe(defense: str | Defense | Callable[..., Any], options: dict[str, Any]) -> Defense:
    """Return a training defense by its name, from a function or class, or unchanged.

    Raises:
        InputError: the argument is none of these, or already has its options.
        PluginError: no defense has that name.
        ConfigError: an option is unknown or refused, or it is not a training.
    """
    if isinstance(defense, str):
        by_name: Defense = defense_of(Choice(name=defense, options=options, where=defense), trust_code=True)
        return by_name
    candidate: object = defense
    if not callable(candidate):
        expected, got = "the name of a training defense, or a function", f"a {type(candidate).__name__}"
        raise InputError(where="defense", expected=expected, got=got)
    if isinstance(getattr(candidate, "info", None), DefenseInfo) and not isinstance(candidate, type):
        if options:
            got = ", ".join(options)
            raise InputError(
                where="defense", expected="no options beside a defense that has its own", got=got
            )
        check_stage(cast("Defense", candidate).info, "training", type(candidate).__name__)
        return cast("Defense", candidate)
    own: Defense = defense_from(own_object(candidate), options)
    return own
