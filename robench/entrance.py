"""Every network answers to a few images of the run before anything is measured with it."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from robench.batch import batch_of
from robench.data import ImageSet
from robench.errors import InputError
from robench.model import Coupling, Model
from robench.prepared import evaluation_mode
from robench.randomness import borrowed_global_randomness


def check_networks(models: Sequence[Model], data: ImageSet) -> None:
    """Refuse networks whose answers are no rows of class scores, or that cannot take a single image.

    Broken images leave the batch, so any batch may come down to one image. A network that raises on two
    images too is no business of this check: its jobs fail, and say why.

    Args:
        models: all models of an evaluation.
        data: the images they will be asked about.

    Raises:
        InputError: says which model, and what to do.
    """
    x, _ = data.batch(slice(0, 2))
    for model in models:
        where = f"model {model.name!r}"
        images = x.to(model.device)
        with batch_of(data.indices[:2]), evaluation_mode(model.net), borrowed_global_randomness(0):
            try:
                _ask(model, images, where)
            except InputError:
                raise
            except Exception:  # noqa: BLE001 - its jobs meet the same and are recorded with it
                continue
            if model.coupling is not Coupling.JOINT:
                _ask_one(model, images[:1], where)


def _ask(model: Model, x: torch.Tensor, where: str) -> None:
    try:
        with torch.no_grad():
            outputs = model.net(x)
    except InputError as error:
        raise InputError(where=where, expected=error.expected, got=error.got, do=error.do) from None
    shape = tuple(outputs.shape)
    if len(shape) == 2 and len(outputs) == len(x) and shape[1] == model.columns:
        return
    do = "Return one row of class scores for each image"
    if len(shape) == 2 and shape[1] > model.columns:
        do = "Say with `class_map` which output stands for each class, or give the data all its classes"
    raise InputError(
        where=where, expected=f"outputs of shape ({len(x)}, {model.columns})", got=str(shape), do=do
    )


def _ask_one(model: Model, x: torch.Tensor, where: str) -> None:
    """Ask about one image, of which two were no trouble."""
    try:
        _ask(model, x, where)
    except InputError as error:
        raise InputError(
            where=where,
            expected=f"outputs (1, {model.columns}) for a batch of one image, as for any other",
            got=error.got,
            do=error.do,
        ) from None
    except Exception as error:  # noqa: BLE001 - it is refused with what it raised
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise InputError(
            where=where,
            expected=f"outputs (1, {model.columns}) for a batch of one image, as for any other",
            got=f"{type(error).__name__}: {reason}",
            do="Let the network keep the batch axis, and put its batch-norm layers into evaluation mode",
        ) from None
