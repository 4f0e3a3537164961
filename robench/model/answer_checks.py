"""Checks the outputs of every network on a few images of the run before any measurement."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from robench.data.images import ImageSet
from robench.errors import InputError
from robench.model.batch_identity import batch_of
from robench.model.evaluation import evaluation_mode
from robench.model.interface import Coupling, Model
from robench.model.out_of_memory import is_out_of_memory
from robench.plurals import counted
from robench.randomness import borrowed_global_randomness
from robench.types import Images, Outputs

_OTHERS = (
    "If the data have more classes than their labels show, say how many: `classes=...` in Python, "
    "`--set dataset.options.classes=...` on the command line. Else say with `class_map` which outputs belong "
    "to the classes of the data: the other outputs are then ignored"
)


def check_networks(
    models: Sequence[Model], data: ImageSet, *, begin: Callable[[str], None] | None = None
) -> None:
    """Refuse networks whose outputs are not rows of class scores, or that cannot process a single image.

    Broken images leave the batch, so any batch may shrink to one image. A network that raises on two images
    too passes this check: its jobs fail later, with the reason.

    Args:
        models: all models of an evaluation.
        data: the images of the evaluation.
        begin: called with the name of every model before its first call, so that a crash can be attributed.

    Raises:
        InputError: says which model, and what to do.
    """
    x, _ = data.batch(slice(0, 2))
    for model in models:
        if begin:
            begin(model.name)
        where = f"model {model.name!r}"
        images = x.to(model.device)
        with batch_of(data.indices[:2]), evaluation_mode(model.net), borrowed_global_randomness(0):
            try:
                check_answers(
                    model.net,
                    images,
                    columns=model.columns,
                    where=where,
                    alone=model.coupling is not Coupling.JOINT,
                    others=_OTHERS,
                )
            except InputError:
                raise
            except (Exception, SystemExit):  # noqa: BLE001 - its jobs raise the same error and record it
                continue


def check_answers(
    ask: Callable[[Images], Outputs], x: Images, *, columns: int, where: str, alone: bool, others: str
) -> None:
    """Refuse a network that does not return one row of class scores per image, also for one image alone.

    Args:
        ask: images to outputs, in evaluation mode.
        x: a few images (B, C, H, W), at least one.
        columns: required number of outputs per row.
        where: for the message.
        alone: whether a single image is checked too.
        others: remedy for a row with more outputs.

    Raises:
        InputError: the outputs have another form, or the network fails on a batch of one image.
        Exception: any error of the network on all the images.
    """
    _check(ask, x, columns, where, others)
    if not alone:
        return
    expected = f"outputs (1, {columns}) for a batch of one image, as for any other"
    try:
        _check(ask, x[:1], columns, where, others)
    except InputError as error:
        raise InputError(where=where, expected=expected, got=error.got, do=error.do) from None
    except (Exception, SystemExit) as error:
        if is_out_of_memory(error):
            raise
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise InputError(
            where=where,
            expected=expected,
            got=f"{type(error).__name__}: {reason}",
            do="Let the network keep the batch axis, and put its batch-norm layers into evaluation mode",
        ) from None


def _check(ask: Callable[[Images], Outputs], x: Images, columns: int, where: str, others: str) -> None:
    try:
        with torch.no_grad():
            shape = tuple(ask(x).shape)
    except InputError as error:
        raise InputError(where=where, expected=error.expected, got=error.got, do=error.do) from None
    if shape != (len(x), columns):
        if len(shape) == 2 and shape[0] == len(x):
            expected = f"{counted(columns, 'output')}, one for each class of the data"
            do = others if shape[1] > columns else "Take data of as many classes, or a network for these"
            if (shape[1], columns) == (1, 2):
                do = "A single score for two classes: return `torch.cat([-score, score], dim=1)`"
            raise InputError(where=where, expected=expected, got=str(shape[1]), do=do)
        raise InputError(
            where=where,
            expected=f"outputs ({len(x)}, {columns})",
            got=str(shape),
            do="Return one row of class scores for each image",
        )
