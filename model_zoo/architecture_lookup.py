"""From the name of an architecture to a module. No torch at import."""

from __future__ import annotations

from typing import TYPE_CHECKING

from robench import plugins, recipe
from robench.errors import ConfigError, InputError
from robench.intake.user_code import blamed, is_reference
from robench.plurals import counted

if TYPE_CHECKING:
    from torch import nn

    from model_zoo.network import Statistics
    from robench.plan.spec import ModelSpec


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

    Of a version what comes after the second number does not count: it mends, and changes no network.
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
    """Return the normalisation: the configured one, which a published model must not contradict.

    Raises:
        ConfigError: it contradicts, or the published model is unknown.
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


def probe(network: nn.Module, *, shape: tuple[int, int, int], classes: int, where: str) -> None:
    """Refuse a foreign network that cannot take such images, or one alone, or names other classes.

    Raises:
        ConfigError: it does.
    """
    import torch

    from robench.model.answer_checks import check_answers
    from robench.model.evaluation import evaluation_mode
    from robench.model.tested_network import TestedNetwork

    images = torch.rand(2, *shape, generator=torch.Generator().manual_seed(0))
    size = " by ".join(map(str, shape[1:]))
    takes = f"a network that takes images of {counted(shape[0], 'channel')}, {size} pixels"
    adapt = "Choose images of the kind it takes, or adapt it in a file of yours, net.py:make"
    others = (
        "Take data of as many classes, let the factory take `classes`, or say which outputs count with"
        " `outputs` and `class_map` (--set models.0.outputs=...)"
    )
    try:
        with blamed(where, expected=takes, do=adapt), evaluation_mode(network):
            check_answers(
                TestedNetwork(network), images, columns=classes, where=where, alone=True, others=others
            )
    except InputError as error:
        raise ConfigError(where=where, expected=error.expected, got=error.got, do=error.do) from None
