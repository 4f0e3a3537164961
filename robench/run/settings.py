"""How a run is done, where, and on whose word: a few values instead of a dozen parameters. No torch here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from robench.engines import Engine, check_engine
from robench.errors import ConfigError
from robench.machine import resolve_device
from robench.plan.spec import DRAWS, Plan


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What the user asked for beside the plan, kept in the run's summary.

    Attributes:
        command: what was typed, for readers.
        asked: options that can change the plan or its bits, for a repetition.
    """

    command: str = ""
    asked: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Settings of an evaluation.

    Attributes:
        transfer: judge crafted images on every model.
        seed: seed of all random numbers.
        shard: most images per unit, and per graph of a joint model.
        batch_size: most images per pass.
        engine: how attacks call networks; see `robench.engines`.
        draws: how often the judge lets a random model classify each image, at least 2.
        to_the_end: attack an image on that is broken already. The verdict is the same for more passes; images
            that stopped at the first point that broke the model break others less.

    Raises:
        ConfigError: too few draws; no engine of that name.
    """

    transfer: bool = True
    seed: int = 0
    shard: int = 500
    batch_size: int = 250
    engine: Engine = "auto"
    draws: int = DRAWS
    to_the_end: bool = False

    def __post_init__(self) -> None:
        """Refuse too few draws (none would be left to count), and engines that do not exist."""
        check_engine(self.engine)
        if isinstance(self.draws, bool) or not isinstance(self.draws, int) or self.draws < 2:
            raise ConfigError(
                where="draws",
                expected="a whole number of at least 2",
                got=repr(self.draws),
                do="The worst of several points is chosen by other draws than the one that counts: take 10",
            )

    @classmethod
    def of(cls, plan: Plan, *, engine: Engine = "auto") -> Settings:
        """Return the settings of a plan."""
        return cls(
            transfer=plan.transfer,
            seed=plan.seed,
            shard=plan.shard,
            batch_size=plan.batch_size,
            engine=engine,
            draws=plan.draws,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """Device and permissions of a run.

    Attributes:
        device: `auto`, `cpu`, `cuda` or `cuda:N`.
        data_root: folder with data sets, or None for the cache.
        download: whether the network may be used.
        trust_code: whether a user's Python file may be imported.
        force: do everything again, even if it is in the run folder already.
    """

    device: str = "auto"
    data_root: Path | None = None
    download: bool = False
    trust_code: bool = False
    force: bool = False

    def resolved(self) -> Environment:
        """Return the same with `auto` replaced by a device of this machine.

        Raises:
            DeviceError: the device does not exist here.
        """
        return replace(self, device=resolve_device(self.device))
