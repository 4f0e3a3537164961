"""A defense by name on a user's network."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from torch import nn

from robench.api import html
from robench.api.makers import columns_of, device_of, training_set
from robench.data.images import ImageSet, check_coverage
from robench.errors import InputError
from robench.model.defense import Defense, TrainingContext
from robench.model.user_defenses import defense_of
from robench.plan.spec import Choice
from robench.randomness import seed_from

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True, kw_only=True, repr=False, eq=False)
class Training:
    """What came of a training.

    Attributes:
        network: the network that was trained, the very one that was given.
        defense: the name of the method.
        history: one row of numbers for each epoch.
    """

    network: nn.Module
    defense: str
    history: tuple[dict[str, float], ...]

    def to_frame(self) -> pd.DataFrame:
        """Return the history as a table: a line for each epoch."""
        import pandas as pd

        return pd.DataFrame(list(self.history))

    def __repr__(self) -> str:
        """Return one line: method, network, epochs and the last row."""
        last = ", ".join(f"{k} {v:.4g}" for k, v in (self.history[-1] if self.history else {}).items())
        return f"Training({self.defense} of {type(self.network).__name__}; {last})"

    def _repr_html_(self) -> str:
        names = list(dict.fromkeys(name for row in self.history for name in row))
        rows = [[f"{row[name]:.4g}" if name in row else "" for name in names] for row in self.history]
        return html.table(f"{self.defense} of {type(self.network).__name__}", names, rows)


def train(
    net: nn.Module,
    images: ImageSet | tuple[Any, Any],
    defense: str = "natural",
    *,
    seed: int = 0,
    device: str | None = None,
    progress: Callable[[dict[str, float]], None] | None = None,
    **options: Any,
) -> Training:
    """Train a network in place with a defense by name; the same seed gives the same weights.

    Args:
        net: images (B, C, H, W) in [0, 1] to logits (B, classes); its weights change, nothing else.
        images: labelled training images: an ImageSet of the split `train`, or images and labels.
        defense: a plugin's name such as `pgd_training` or `trades` (`robench list defenses`), or
            `path/to/mine.py:NAME`, which is run.
        seed: the only source of chance.
        device: where to train; by default where the network is.
        progress: called with the row of every epoch, and every few steps with one that has `step`.
        options: of the defense, such as `epochs=5` or `eps="8/255"`.

    Raises:
        InputError: the network does not answer such images, or has fewer outputs than there are classes; the
            images are refused, or miss a class.
        PluginError: no defense has that name.
        ConfigError: an option is unknown or refused, or the defense belongs in front of a trained model.
        JobError: the loss stopped being a number.
    """
    candidate: object = net
    if not isinstance(candidate, nn.Module):
        got = (
            f"the class {candidate.__name__}"
            if isinstance(candidate, type)
            else f"a {type(candidate).__name__}"
        )
        raise InputError(where="train", expected="a torch.nn.Module", got=got)
    recipe: Defense = defense_of(Choice(name=defense, options=options, where=defense), trust_code=True)
    data = training_set(images, where="train")
    check_coverage(data, where="train")
    columns = columns_of(net, data.batch(slice(0, 2))[0], where="train")
    if columns < len(data.classes):
        expected = f"a network with {len(data.classes)} outputs, one for each class"
        raise InputError(where="train", expected=expected, got=str(columns))
    if not any(parameter.requires_grad for parameter in net.parameters()):
        do = "Call `net.requires_grad_(True)`" if any(True for _ in net.parameters()) else ""
        raise InputError(where="train", expected="a network with weights to train", got="none", do=do)
    context = TrainingContext(
        seed=seed_from(seed, "train"),
        device=device or str(device_of(net)),
        state=None,
        identity={},
        progress=progress or (lambda _: None),
    )
    history = recipe(net, data if recipe.info.uses_unlabelled else data.labelled(), context=context)
    return Training(network=net, defense=defense, history=tuple(history))
