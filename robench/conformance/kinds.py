"""Which kinds of plugin have laws, and how each is checked. No torch is imported before a check runs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from robench.conformance.result import Result

if TYPE_CHECKING:
    from robench.attack.protocol import Attack
    from robench.data.images import DatasetRecipe

Checked = Literal["attacks", "defenses", "models", "heads", "datasets"]
CHECKED: tuple[Checked, ...] = get_args(Checked)
"""The kinds of plugin that have laws."""


def check_attack(recipe: Attack) -> list[Result]:
    """Return the verdict on every law of attacks; see `robench.conformance.attacks`."""
    return list(checks("attacks", recipe))


def check_defense(recipe: Any) -> list[Result]:
    """Return the verdict on every law of defenses, of training or of inference as its `info.stage` says.

    See `robench.conformance.training` and `robench.conformance.inference`.
    """
    return list(checks("defenses", recipe))


def check_model(recipe: Any) -> list[Result]:
    """Return the verdict on every law of architectures; see `robench.conformance.models`."""
    return list(checks("models", recipe))


def check_head(recipe: Any) -> list[Result]:
    """Return the verdict on every law of heads; see `robench.conformance.heads`."""
    return list(checks("heads", recipe))


def check_dataset(recipe: DatasetRecipe, *, root: Path | None = None, download: bool = False) -> list[Result]:
    """Return the verdict on every law of data sets; see `robench.conformance.datasets`.

    Args:
        recipe: the data set.
        root: folder that holds the files, or None for the default cache.
        download: fetch missing files first; the laws themselves are checked without a network.
    """
    return list(checks("datasets", recipe, root=root, download=download))


def checks(
    kind: Checked, recipe: Any, *, root: Path | None = None, download: bool = False
) -> Iterator[Result]:
    """Check the laws of a kind one by one, each when the next result is requested.

    Args:
        kind: the kind of plugin.
        recipe: a recipe with its options, not the class.
        root: folder of data sets.
        download: whether data sets may be downloaded.
    """
    match kind:
        case "attacks":
            from robench.conformance.attacks import attack_laws

            return attack_laws(recipe)
        case "defenses" if getattr(getattr(recipe, "info", None), "stage", "training") == "inference":
            from robench.conformance.inference import inference_laws

            return inference_laws(recipe)
        case "defenses":
            from robench.conformance.training import training_laws

            return training_laws(recipe)
        case "models":
            from robench.conformance.models import model_laws

            return model_laws(recipe)
        case "heads":
            from robench.conformance.heads import head_laws

            return head_laws(recipe)
        case "datasets":
            from robench.conformance.datasets import dataset_laws

            return dataset_laws(recipe, root=root, download=download)
