"""The order of arguments that commands share: the configuration first, then one of its models."""

from __future__ import annotations

from pathlib import Path

from robench.errors import ConfigError


def check_order(command: str, config: str, model: str) -> None:
    """Refuse a model named before its configuration.

    Raises:
        ConfigError: the first word is not a configuration, but the second is one.
    """
    from robench.plan.config import suites

    def means_plan(word: str) -> bool:
        return word in suites() or Path(word).suffix in {".yaml", ".yml"} or Path(word).is_file()

    if means_plan(model) and not means_plan(config):
        raise ConfigError(
            where=f"robench {command}",
            expected="CONFIG MODEL, in this order",
            got=f"{config} {model}",
            do=f"Write: robench {command} {model} {config}",
        )
