"""Every network answers to a few images of the run before anything is measured with it."""

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
    "`--set dataset.options.classes=...` on the command line. Else say with `class_map` which outputs stand "
    "for the classes of the data: what the others win is no error then"
)


def check_networks(
    models: Sequence[Model], data: ImageSet, *, begin: Callable[[str], None] | None = None
) -> None:
    """Refuse networks whose answers are no rows of class scores, or that cannot take a single image.

    Broken images leave the batch, so any batch may come down to one image. A network that raises on two
    images too is no business of this check: its jobs fail, and say why.

    Args:
        models: all models of an evaluation.
        data: the images they will be asked about.
        begin: called with the name of every model before it is asked: what kills the process can be named.

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
            except (Exception, SystemExit):  # noqa: BLE001 - its jobs meet the same and are recorded with it
                continue


def check_answers(
    ask: Callable[[Images], Outputs], x: Images, *, columns: int, where: str, alone: bool, others: str
) -> None:
    """Refuse what does not answer with one row of class scores for each image, nor for one image alone.

    Args:
        ask: images to outputs, in evaluation mode.
        x: a few images (B, C, H, W), at least one.
        columns: how many outputs a row must have.
        where: for the message.
        alone: whether one image must be answered to as well.
        others: what to do where a row has another number of outputs.

    Raises:
        InputError: the answer has another form, or one image is no batch for the network.
        Exception: whatever the network raises on all the images.
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
            raise InputError(where=where, expected=expected, got=str(shape[1]), do=do)
        raise InputError(
            where=where,
            expected=f"outputs ({len(x)}, {columns})",
            got=str(shape),
            do="Return one row of class scores for each image",
        )
