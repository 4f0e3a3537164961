"""Models and attacks made of what a user has: a network, a function, a name."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable, Sequence
from operator import index
from typing import Any, cast

import torch
from torch import nn

from robench import plugins, recipe
from robench.api.learned import note_learned
from robench.attack.protocol import Attack
from robench.attack.user_attacks import attack_from, attack_named
from robench.data.images import ImageSet, image_set
from robench.errors import InputError, RobenchError
from robench.intake.code_places import file_of
from robench.model.evaluation import evaluation_mode
from robench.model.function_network import as_network
from robench.model.interface import Model, OutputKind
from robench.model.tested_network import TestedNetwork
from robench.model.user_objects import UserObject
from robench.plan.spec import PRECISIONS
from robench.randomness import borrowed_global_randomness
from robench.types import Images

Network = nn.Module | Callable[[torch.Tensor], Any]
"""A network, or a function of images (B, C, H, W) in [0, 1]."""


def wrap(
    net: Network,
    *,
    name: str,
    classes: int,
    output: str = "logits",
    class_map: Sequence[int] | None = None,
    precision: str = "float32",
) -> Model:
    """Return any network as a model under test; the network itself is never altered.

    Args:
        net: images (B, C, H, W) in [0, 1] to outputs (B, classes); normalisation belongs inside. A module, or
            a function. A tuple, a mapping or an object with `.logits` will do as answer where one can tell
            which of its tensors is meant.
        name: the name of its row.
        classes: number of classes of the data.
        output: what one row of its output is: `logits`, `log_probabilities` or `simplex`.
        class_map: for each class the number of the output that stands for it, where the network has more.
        precision: `float32`, computed as such, or `as_set`: as torch's flags say, such as TF32 on a GPU.

    Raises:
        InputError: no module and no function, a kind of output that does not exist, or a class map of another
            length.
    """
    where = f"model {name!r}"
    module = as_network(net, where)
    _check_output(output, where)
    if precision not in PRECISIONS:
        precisions = ", ".join(PRECISIONS)
        raise InputError(where=where, expected=f"precision as one of {precisions}", got=repr(precision))
    outputs = None if class_map is None else _outputs_of(class_map, classes, where)
    network = TestedNetwork(module, class_map=outputs, kind=output, precision=precision)
    details: dict[str, Any] = {} if precision == PRECISIONS[0] else {"precision": precision}
    if outputs is not None:
        details["class_map"] = list(outputs)
    return Model(name=name, net=network, classes=classes, output=OutputKind(output), details=details)


def make_attack(attack: str | Callable[..., Any], **options: Any) -> Attack:
    """Return an attack with options.

    Args:
        attack: a plugin's name such as `pgd` or `art/pgd`; `path/to/mine.py:NAME`, which is run; or a
            function `(model, x, y, eps)` that returns adversarial images.
        options: of the attack; text such as `2/255` is a number.

    Raises:
        PluginError: no attack has that name.
        ConfigError: an option is unknown or refused, or a file or function is not an attack.
    """
    if not isinstance(attack, str) and hasattr(attack, "info") and not isinstance(attack, type):
        if options:
            got = ", ".join(options)
            raise InputError(where="attack", expected="no options beside an attack that has its own", got=got)
        return cast("Attack", attack)
    if isinstance(attack, str):
        return attack_named(attack, options, trust_code=True, where=attack)
    candidate: object = attack
    if not callable(candidate):
        got = f"a {type(candidate).__name__}"
        do = "Several attacks: `robench.benchmark(net, (x, y), attacks=[...], eps=...)`"
        do = do if isinstance(candidate, list | tuple | dict) else ""
        raise InputError(where="attack", expected="the name of an attack, or a function", got=got, do=do)
    return attack_from(own_object(attack), options)


def own_object(value: Callable[..., Any]) -> UserObject:
    """Return a function or class of the running program; its source identifies it."""
    try:
        source = inspect.getsource(value)
    except (OSError, TypeError):  # typed at a prompt, or made by code
        source = ""
    name = getattr(value, "__name__", type(value).__name__).strip("<>")
    module = str(getattr(value, "__module__", "python")).rpartition(".")[2]
    return UserObject(
        value=value,
        name=f"{module}:{name}",
        digest=hashlib.sha256(source.encode()).hexdigest(),
        path=file_of(value),
    )


def _outputs_of(class_map: Sequence[int], classes: int, where: str) -> tuple[int, ...]:
    """Return which output stands for each class.

    Raises:
        InputError: they are no whole numbers from 0, not one for each class, or two are the same.
    """
    try:
        numbers = tuple(index(one) for one in class_map)
    except TypeError:
        numbers = (-1,)
    if any(number < 0 or isinstance(one, bool) for number, one in zip(numbers, class_map, strict=False)):
        expected = "a class_map with the number of an output, from 0, for each class"
        raise InputError(where=where, expected=expected, got=repr(class_map)[:60])
    if len(numbers) != classes or len(set(numbers)) != classes:
        raise InputError(
            where=where,
            expected=f"a class_map of {classes} different outputs",
            got=f"{len(numbers)}, {len(set(numbers))} of them different",
        )
    return numbers


def wnll_head(
    net: nn.Module,
    images: ImageSet | tuple[Any, Any],
    *,
    name: str = "wnll",
    classes: int | None = None,
    seed: int = 0,
    **options: Any,
) -> Model:
    """Return a model with a WNLL head on the features of a network; the network is shared, not changed.

    Args:
        net: a network whose last linear layer makes its logits; it may be untrained above its features.
        images: labelled training images that the template is drawn from: an ImageSet, or images and labels.
        name: the name of its row.
        classes: number of classes; by default as many as the images show.
        seed: for the choice of the template.
        options: of the head, such as `m`, `n`, `template` (all images by default) and `protocol`; see
            `robench show wnll`.

    Raises:
        InputError: too few images for `m`, a class without one, images of the test split, or a network whose
            logits come from no linear layer.
        ConfigError: an option is unknown or refused.
    """
    candidate: object = net
    if not isinstance(candidate, nn.Module):
        as_network(candidate, "wnll_head")
        got, do = "a function", "The head needs the layers of the network: give the module itself"
        raise InputError(where="wnll_head", expected="a torch.nn.Module", got=got, do=do)
    data = training_set(images, where="wnll_head", classes=classes)
    head = recipe.build(plugins.find("heads", "wnll"), {"template": None, **options}, where="wnll_head")
    count = len(data.classes)
    columns_of(net, data.batch(slice(0, 2))[0], where="wnll_head")
    model: Model = head(
        net,
        name=name,
        classes=count,
        training_data=lambda: data,
        seed=seed,
        device=str(device_of(net)),
        details={"head": "wnll"},
    )
    note_learned(model.net, data)
    return model


def training_set(images: ImageSet | tuple[Any, Any], *, where: str, classes: int | None = None) -> ImageSet:
    """Return training images as a set of the training split.

    Raises:
        InputError: neither an image set nor a pair, of another split, or refused; see `robench.image_set`.
    """
    if isinstance(images, ImageSet):
        if images.split != "train":
            do = 'Load them with `split="train"`'
            raise InputError(
                where=where, expected="training images", got=f"the split {images.split!r}", do=do
            )
        return images
    candidate: object = images
    if not isinstance(candidate, tuple | list) or len(candidate) != 2:
        expected = "training images as an ImageSet, or a pair of images and labels"
        raise InputError(where=where, expected=expected, got=f"a {type(candidate).__name__}")
    return image_set(images[0], images[1], split="train", classes=classes, name="training images")


def columns_of(net: nn.Module, x: Images, *, where: str, output: str = "logits") -> int:
    """Return how many outputs a network has for an image, by asking it about a few.

    Args:
        net: the network; it is left as it was.
        x: a few images (B, C, H, W).
        where: for messages.
        output: what an output is.

    Raises:
        InputError: it raises, or answers with something else than a row of numbers for each image.
    """
    _check_output(output, where)
    network = TestedNetwork(net, kind=output)
    images = x.to(device_of(net))
    try:
        with evaluation_mode(net), torch.no_grad(), borrowed_global_randomness(0):
            return int(network(images).shape[1])
    except RobenchError:
        raise
    except Exception as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        do = "A function that makes the network is called first: net = make()" if _takes_nothing(net) else ""
        raise InputError(
            where=where,
            do=do,
            expected=f"a network that answers images of shape {tuple(images.shape)} in [0, 1]",
            got=f"{type(error).__name__}: {reason}",
        ) from error


def _takes_nothing(net: nn.Module) -> bool:
    """Tell whether a network is a function without parameters, so probably one that makes networks."""
    function: object = getattr(net, "function", None)
    try:
        return callable(function) and not inspect.signature(function).parameters
    except ValueError:  # written in C
        return False


def device_of(net: nn.Module) -> torch.device:
    """Return the device of a network's first parameter or buffer, the CPU without any."""
    for tensor in (*net.parameters(), *net.buffers()):
        return tensor.device
    return torch.device("cpu")


def _check_output(output: str, where: str) -> None:
    if output not in list(OutputKind):
        raise InputError(where=where, expected=f"output as one of {', '.join(OutputKind)}", got=repr(output))
