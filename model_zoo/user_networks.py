"""A user's own networks, by file and function."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn
from torch.nn.parameter import UninitializedParameter

from robench.errors import ConfigError
from robench.intake.user_code import attribute, blamed, check_consent, parts_of
from robench.intake.user_modules import UserModules, source_digest


def user_model(
    reference: str, *, classes: int, options: dict[str, Any], trust_code: bool, where: str
) -> nn.Module:
    """Return the network that a user's own function makes.

    The function is called with the options, and with `classes` if it has a parameter of that name. Its file
    may import modules from its folder (`robench.intake.user_modules`); settings of the whole process that
    these change are restored (`robench.model.global_state`).

    Args:
        reference: `path/to/file.py:factory`.
        classes: number of classes.
        options: keyword arguments of the factory.
        trust_code: whether the user allowed code from files to run.
        where: for the message.

    Raises:
        ConfigError: not trusted (nothing was run), no such file or function, an error inside it (its file and
            line are given), or a result that is not an `nn.Module`.
    """
    check_consent(reference, trust_code=trust_code, where=where)
    path, name = parts_of(reference)
    if not path.is_file():
        raise ConfigError(where=where, expected=f"the file {path.absolute()}", got="none")
    from robench.model.global_state import kept_global_state

    modules = UserModules(path)
    with kept_global_state(), blamed(where, path):
        module = modules.load()
        factory = attribute(module, name, path, where)
        if isinstance(factory, nn.Module):
            network: Any = copy.deepcopy(factory)  # each row has its own copy
        else:
            parameters = inspect.signature(factory).parameters.values()
            wants = any(p.name == "classes" or p.kind is p.VAR_KEYWORD for p in parameters)
            network = factory(**({"classes": classes, **options} if wants else options))
    if not isinstance(network, nn.Module):
        raise _no_network(network, reference, where)
    lazy = [key for key, value in network.named_parameters() if isinstance(value, UninitializedParameter)]
    if lazy:
        raise ConfigError(
            where=where,
            expected="a network whose weights exist",
            got=f"lazy layers without any: {', '.join(lazy[:4])}",
            do="Ask it once in the factory: `network(torch.zeros(1, C, H, W))`",
        )
    return network


def code_facts(reference: str) -> dict[str, str]:
    """Return what identifies a user's code: the digest of the file and of what it imports from beside it.

    Args:
        reference: `path/to/file.py:factory`.
    """
    path, _ = parts_of(reference)
    return {"code_sha256": source_digest(path)} if path.is_file() else {}


def _no_network(value: Any, reference: str, where: str) -> ConfigError:
    got, do = f"{type(value).__name__} from {reference}", ""
    if isinstance(value, type):
        got, do = f"the class {value.__name__} from {reference}", "Return an instance: call it"
    elif isinstance(value, Mapping):
        do = "Build the network and load these weights into it: `network.load_state_dict(...)`"
    elif isinstance(value, Tensor):
        do = "Name a function that makes the network, not one that answers to images"
    elif value is None:
        do = "Return the network at the end of the function"
    return ConfigError(where=where, expected="a factory that returns a torch.nn.Module", got=got, do=do)
