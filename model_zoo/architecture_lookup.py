"""From the name of an architecture to a module. No torch at import."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from robench import plugins, recipe
from robench.errors import ConfigError, InputError
from robench.intake.user_code import blamed, is_reference
from robench.plurals import counted

if TYPE_CHECKING:
    from torch import nn

    from model_zoo.network import Statistics
    from robench.plan.spec import ModelSpec

_LOG = logging.getLogger(__name__)


def make(spec: ModelSpec, *, shape: tuple[int, int, int], classes: int, trust_code: bool) -> nn.Module:
    """Return a backbone or a whole classifier, with weights drawn from torch's global generator.

    Args:
        spec: names the architecture.
        shape: (C, H, W) of the images.
        classes: number of classes K.
        trust_code: whether a `path/to/file.py:factory` may be run.

    Raises:
        ConfigError: no architecture, unknown options, or a file of code without `trust_code`.
        PluginError: unknown architecture.
    """
    from model_zoo import robustbench, user_networks
    from model_zoo.libraries import LIBRARIES

    choice, where = spec.architecture, spec.where
    if choice is None:
        raise ConfigError(where=where, expected=f"an architecture for {spec.name!r}", got="none")
    where = choice.where or where
    for prefix, library in LIBRARIES.items():
        if choice.name.startswith(prefix):
            name = choice.name.removeprefix(prefix)
            return library(name, channels=shape[0], classes=classes, options=choice.options, where=where)
    if is_reference(choice.name):
        return user_networks.user_model(
            choice.name, classes=classes, options=choice.options, trust_code=trust_code, where=where
        )
    if choice.name.startswith(robustbench.PREFIX):
        if choice.options:
            got = ", ".join(map(repr, choice.options))
            raise ConfigError(where=where, expected="no options of a published model", got=got)
        factory = robustbench.published(choice.name.removeprefix(robustbench.PREFIX), where=where).recipe
    else:
        factory = recipe.build(plugins.find("models", choice.name, where=where), choice.options, where=where)
    module: nn.Module = factory(channels=shape[0], size=shape[1:], classes=classes)
    return module


def code_facts(spec: ModelSpec) -> dict[str, str]:
    """Return what identifies code that is not ours: a user's source, or the version of a library.

    Only the first two numbers of a version count: patch releases repair, and do not change networks.
    """
    from model_zoo import user_networks
    from model_zoo.libraries import DISTRIBUTIONS, LIBRARIES

    choice = spec.architecture
    if choice is None:
        return {}
    if is_reference(choice.name):
        return user_networks.code_facts(choice.name)
    library = next((p.rstrip(":") for p in LIBRARIES if choice.name.startswith(p)), None)
    if library is None:
        return {}
    from importlib.metadata import version

    number = version(DISTRIBUTIONS.get(library, library))
    return {"library": f"{library} {'.'.join(number.split('.')[:2])}"}


def statistics(spec: ModelSpec) -> Statistics | None:
    """Return the configured normalisation, which must not contradict that of a published model.

    Raises:
        ConfigError: the two contradict each other, or the published model is unknown.
    """
    from model_zoo import robustbench

    choice = spec.architecture
    if choice is None or not choice.name.startswith(robustbench.PREFIX):
        return spec.normalize
    where = choice.where or spec.where
    name = choice.name.removeprefix(robustbench.PREFIX)
    normalisation = robustbench.published(name, where=where).normalize
    if spec.normalize not in (None, normalisation):
        do = "Remove `normalize`: it comes with the name"
        raise ConfigError(where=where, expected=f"normalize {normalisation}", got=f"{spec.normalize}", do=do)
    return normalisation


def check_statistics(normalize: Statistics | None, channels: int, *, where: str) -> None:
    """Refuse a normalisation for another number of channels.

    Raises:
        ConfigError: it is.
    """
    if normalize and len(normalize[0]) != channels:
        expected = f"a mean and a deviation for each of {channels} channels"
        raise ConfigError(where=where, expected=expected, got=f"{len(normalize[0])}")


def is_backbone(module: nn.Module, spec: ModelSpec, *, shape: tuple[int, int, int], classes: int) -> bool:
    """Tell whether a network gives features for a linear layer, or any other head, on top of it.

    A plugin says so with the attribute `feature_dim`. In a user's or a library's network an attribute of that
    name may mean anything, so the width of its output decides: with K columns it is a classifier. It is a
    backbone only if K is also its `feature_dim` and the specification has a buffer or another head.

    Args:
        module: the network, with fresh weights; it is left as it is.
        spec: names the architecture, the buffer and the head.
        shape: (C, H, W) of the images.
        classes: number of classes K.

    Raises:
        ConfigError: its output has neither K nor `feature_dim` columns, or it does not accept such images.
    """
    features, choice = getattr(module, "feature_dim", None), spec.architecture
    if features is None:
        return False
    if choice is None or not _is_foreign(choice.name):
        return True
    where = spec.where or f"model {spec.name!r}"
    width = _width(module, shape=shape, where=where)
    is_claimed = isinstance(features, int) and width == features
    if width == classes:
        if is_claimed and (spec.buffer or spec.head.name != "linear"):
            return True
        note = "taken for a whole classifier, for it gives %d outputs; its attribute `feature_dim` is ignored"
        _LOG.warning(f"%s: {note}", where, width)
        return False
    if not is_claimed:
        outputs = counted(classes, "output")
        raise ConfigError(
            where=where,
            expected=f"a classifier with {outputs}, or a backbone with the {features!r} of its `feature_dim`",
            got=str(width),
            do="Return the class scores, or let `feature_dim` say how many features the network returns",
        )
    return True


def _is_foreign(name: str) -> bool:
    """Tell whether an architecture is not a plugin."""
    from model_zoo.libraries import LIBRARIES

    return is_reference(name) or name.startswith(tuple(LIBRARIES))


def _width(module: nn.Module, *, shape: tuple[int, int, int], where: str) -> int:
    """Return the number of columns of a network's output."""
    import torch

    from robench.model.evaluation import evaluation_mode
    from robench.model.tested_network import TestedNetwork

    images = torch.rand(2, *shape, generator=torch.Generator().manual_seed(0))
    expected, do = _takes(shape)
    try:
        with blamed(where, expected=expected, do=do), evaluation_mode(module), torch.no_grad():
            return int(TestedNetwork(module)(images).shape[1])
    except InputError as error:
        raise ConfigError(where=where, expected=error.expected, got=error.got, do=error.do) from None


def _takes(shape: tuple[int, int, int]) -> tuple[str, str]:
    """Return, for messages, which images a network must accept, and what to do if it does not."""
    size = " by ".join(map(str, shape[1:]))
    return (
        f"a network that takes images of {counted(shape[0], 'channel')}, {size} pixels",
        "Choose images of the kind it takes, or adapt it in a file of yours, net.py:make",
    )


def probe(network: nn.Module, *, shape: tuple[int, int, int], classes: int, where: str) -> None:
    """Refuse a foreign network that does not accept such images, or a single one, or has other classes.

    Raises:
        ConfigError: the network is refused.
    """
    import torch

    from robench.model.answer_checks import check_answers
    from robench.model.evaluation import evaluation_mode
    from robench.model.tested_network import TestedNetwork

    images = torch.rand(2, *shape, generator=torch.Generator().manual_seed(0))
    takes, adapt = _takes(shape)
    others = (
        "If the data have more classes than their labels show, say how many"
        " (--set dataset.options.classes=...). Else let the factory take `classes`, or say with `outputs` and"
        " `class_map` which outputs count (--set models.0.outputs=...): the other outputs are then ignored"
    )
    try:
        with blamed(where, expected=takes, do=adapt), evaluation_mode(network):
            check_answers(
                TestedNetwork(network), images, columns=classes, where=where, alone=True, others=others
            )
    except InputError as error:
        raise ConfigError(where=where, expected=error.expected, got=error.got, do=error.do) from None
