"""Networks of libraries by name: `torchvision:`, `timm:` and `hf:NAME`, always with fresh weights."""

from __future__ import annotations

from typing import Any, Protocol

from torch import nn

from model_zoo.installed_library import library
from model_zoo.published_weights import cached_config
from robench.errors import ConfigError, nearest
from robench.intake.user_code import blamed


class Maker(Protocol):
    """Makes a whole classifier from its name in a library."""

    def __call__(
        self, name: str, *, channels: int, classes: int, options: dict[str, Any], where: str
    ) -> nn.Module:
        """Return the network with weights drawn from torch's global generator."""
        ...


_TORCHVISION_DEFAULTS: dict[str, dict[str, Any]] = {
    name: {"aux_logits": False, "init_weights": True} for name in ("googlenet", "inception_v3")
}
"""One output in training mode too, and no warning that torchvision may change its initialisation."""


def torchvision_model(
    name: str, *, channels: int, classes: int, options: dict[str, Any], where: str
) -> nn.Module:
    """Return a torchvision classifier with fresh weights.

    Args:
        name: such as `resnet18`.
        channels: not used: these networks take three.
        classes: number of classes.
        options: keyword arguments of torchvision's builder, such as `image_size` of a vision transformer;
            `weights` is refused, it would be downloaded.
        where: for the message.

    Raises:
        ConfigError: unknown name or option.
    """
    import torchvision.models

    del channels
    choices = torchvision.models.list_models(module=torchvision.models)
    _check_name(name, choices, "a torchvision classifier", where)
    _check_options(options, {"weights", "num_classes", "progress"}, where)
    settings = {**_TORCHVISION_DEFAULTS.get(name, {}), **options}
    with blamed(where or name):
        model: nn.Module = torchvision.models.get_model(name, weights=None, num_classes=classes, **settings)
    return model


def timm_model(name: str, *, channels: int, classes: int, options: dict[str, Any], where: str) -> nn.Module:
    """Return a timm classifier with fresh weights.

    Args:
        name: such as `resnet18` or `vit_tiny_patch16_224`, without the tag of pretrained weights.
        channels: C of the images.
        classes: number of classes.
        options: keyword arguments of timm's `create_model`, such as `img_size` of a vision transformer;
            `pretrained` is refused, it would be downloaded.
        where: for the message.

    Raises:
        ConfigError: timm is not installed, or an unknown name or option.
    """
    timm = library("timm", f"timm:{name}", where)
    _check_name(name, timm.list_models(), "a timm classifier", where)
    exclusions = {"pretrained", "pretrained_cfg", "pretrained_cfg_overlay", "checkpoint_path", "cache_dir"}
    _check_options(options, exclusions | {"num_classes", "in_chans", "features_only"}, where)
    with blamed(where or name):
        model: nn.Module = timm.create_model(
            name, pretrained=False, num_classes=classes, in_chans=channels, **options
        )
    return model


def hugging_face_model(
    name: str, *, channels: int, classes: int, options: dict[str, Any], where: str
) -> nn.Module:
    """Return an image classifier of transformers with fresh weights, as configured by a cached repository.

    Args:
        name: such as `microsoft/resnet-50`.
        channels: not used: the repository's configuration says it.
        classes: not used, see channels.
        options: none; code of a repository is never run.
        where: for the message.

    Raises:
        ConfigError: transformers is not installed, the repository is not in the cache, or there are options.
    """
    del channels, classes
    transformers = library("transformers", f"hf:{name}", where)
    if options:
        raise ConfigError(where=where, expected="no options of a published model", got=next(iter(options)))
    folder = cached_config(name, where=where).parent
    with blamed(where or name):
        config = transformers.AutoConfig.from_pretrained(
            str(folder), local_files_only=True, trust_remote_code=False
        )
        model: nn.Module = transformers.AutoModelForImageClassification.from_config(
            config, trust_remote_code=False
        )
    return model


LIBRARIES: dict[str, Maker] = {
    "torchvision:": torchvision_model,
    "timm:": timm_model,
    "hf:": hugging_face_model,
}
"""Prefix of an architecture's name to the function that makes it."""

DISTRIBUTIONS = {"hf": "transformers"}
"""The distribution of a prefix, if it has another name."""


def _check_name(name: str, choices: list[str], expected: str, where: str) -> None:
    if name not in choices:
        do = nearest(name, choices)
        raise ConfigError(where=where, expected=f"the name of {expected}", got=repr(name), do=do)


def _check_options(options: dict[str, Any], exclusions: set[str], where: str) -> None:
    own = sorted(exclusions & set(options))
    if own:
        do = "Load weights with `checkpoint`; channels and classes are the data set's"
        raise ConfigError(where=where, expected="options of the network", got=own[0], do=do)
