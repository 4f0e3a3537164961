"""The options that commands share: declared once, handed over as one value."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_type_hints

from robench.cli.option_types import (
    Address,
    BatchSize,
    DataRoot,
    Deterministic,
    Device,
    Download,
    DryRun,
    Engine,
    Executor,
    Force,
    Format,
    Limit,
    Log,
    Memory,
    Out,
    Part,
    QuietFlag,
    RetryFailed,
    Seed,
    Set,
    Strict,
    Threads,
    Timeout,
    TrustCode,
    Workers,
)
from robench.errors import ConfigError

if TYPE_CHECKING:
    from robench.plan.spec import Plan
    from robench.run.settings import Environment
    from robench.run.workers.executor import Processes


DEVICE = re.compile(r"auto|cpu|mps|cuda(:\d+)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Options that commands share; each command has some of them, in this order; others keep the default."""

    out: Out = None
    overrides: Set = None
    limit: Limit = None
    seed: Seed = None
    device: Device = "auto"
    data_root: DataRoot = None
    download: Download = False
    batch_size: BatchSize = None
    threads: Threads = None
    trust_code: TrustCode = False
    dry_run: DryRun = False
    force: Force = False
    strict: Strict = False
    quiet: QuietFlag = False
    format: Format = "text"
    engine: Engine = "auto"
    workers: Workers = 1
    timeout_per_job: Timeout = None
    memory_per_job: Memory = None
    retry_failed: RetryFailed = False
    executor: Executor = "local"
    address: Address = None
    shard: Part = None
    deterministic: Deterministic = False
    log: Log = None

    @property
    def processes(self) -> Processes | None:
        """How the work is divided among worker processes; None to do it in this process.

        Raises:
            ConfigError: an invalid size or part, or an option needs worker processes.
        """
        memory = size_in_bytes(self.memory_per_job) if self.memory_per_job is not None else None
        part = part_of(self.shard) if self.shard is not None else None
        if not self.workers:
            options = {
                "--shard": part,
                "--timeout-per-job": self.timeout_per_job,
                "--memory-per-job": memory,
                "--deterministic": self.deterministic,
                "--executor": self.executor == "ray",
            }
            if names := [name for name, value in options.items() if value]:
                raise ConfigError(
                    where=names[0], expected="worker processes", got="--workers 0", do="Leave --workers 0 out"
                )
            return None
        if self.executor == "ray" and memory:
            do = "Limit the memory of the cluster's nodes instead"
            got = "--executor ray, whose workers Ray minds"
            raise ConfigError(where="--memory-per-job", expected="--executor local", got=got, do=do)
        if self.executor == "local" and self.address is not None:
            raise ConfigError(where="--address", expected="--executor ray", got="--executor local")
        threads = self.threads
        if threads is None and self.workers > 1:
            threads = max(1, (os.cpu_count() or 1) // self.workers)
        from robench.run.workers.executor import Processes

        return Processes(
            count=self.workers,
            threads=threads,
            timeout=self.timeout_per_job,
            memory=memory,
            retry_failed=self.retry_failed,
            part=part,
            ray=(self.address or "") if self.executor == "ray" else None,
            deterministic=self.deterministic,
        )

    @property
    def environment(self) -> Environment:
        """Where the command works, and what it may do there."""
        from robench.run.settings import Environment

        return Environment(
            device=self.device,
            data_root=self.data_root,
            download=self.download,
            trust_code=self.trust_code,
            force=self.force,
        )

    def plan(self, config: str) -> tuple[Plan, str]:
        """Return the plan of a configuration with the overrides, and the configuration's text.

        Raises:
            ConfigError: the configuration, an override or the device is refused.
            CheckpointError: a checkpoint is missing.
        """
        from robench.plan.data_root import check_checkpoints

        plan, text = self.parsed(config)
        check_checkpoints(plan, self.data_root)
        check_device(self.device)
        return plan, text

    def parsed(self, config: str) -> tuple[Plan, str]:
        """Return the same without reading the files it names."""
        from robench.plan.config import locate, parse
        from robench.plan.yaml_reader import read_file

        path = locate(config)
        text = read_file(path)
        plan = parse(text, file=path, overrides=self.overrides)
        return self.applied(plan), text

    def applied(self, plan: Plan) -> Plan:
        """Return a plan with the options of the command beside its configuration."""
        if self.limit is not None:
            plan = dataclasses.replace(
                plan, data=dataclasses.replace(plan.data, limit=self.limit, at_most=None)
            )
        if self.seed is not None:
            plan = dataclasses.replace(plan, seed=self.seed)
        if self.batch_size is not None:
            plan = dataclasses.replace(plan, batch_size=self.batch_size)
        return plan

    @property
    def asked(self) -> Mapping[str, object]:
        """What can change the plan or its bits, as `run.json` keeps it for a repetition."""
        return {
            "overrides": list(self.overrides or ()),
            "limit": self.limit,
            "seed": self.seed,
            "batch_size": self.batch_size,
            "engine": self.engine,
            "threads": self.threads,
            "workers": self.workers,
            "deterministic": self.deterministic,
        }

    def folder(self, plan: Plan) -> Path:
        """Return the run folder: the one of --out, or the plan's own."""
        return self.out or Path("runs") / plan.name


def size_in_bytes(text: str) -> int:
    """Return the number of bytes of a size such as `8GB` or `512 MiB`; units are powers of 1024.

    Raises:
        ConfigError: it is not a size, or zero.
    """
    match = re.fullmatch(r"\s*(\d{1,9}(?:\.\d{1,9})?)\s*(|[kmgt])(?:i?b)?\s*", text.lower())
    size = int(float(match[1]) * 1024 ** " kmgt".index(match[2] or " ")) if match else 0
    if size <= 0:
        raise ConfigError(where="--memory-per-job", expected="a size such as 8GB or 500MB", got=repr(text))
    return size


def part_of(text: str) -> tuple[int, int]:
    """Return the part and the number of parts of a text such as `2/8`.

    Raises:
        ConfigError: the text is not a part.
    """
    match = re.fullmatch(r"(\d{1,6})/(\d{1,6})", text)
    number, count = (int(match[1]), int(match[2])) if match else (0, 0)
    if not 1 <= number <= count:
        raise ConfigError(where="--shard", expected="I/N with 1 <= I <= N, such as 2/8", got=repr(text))
    return number, count


def check_device(device: str) -> None:
    """Refuse a word that is not a device, before any slow import."""
    if not DEVICE.fullmatch(device):
        raise ConfigError(where="--device", expected="auto, cpu, cuda, cuda:N or mps", got=repr(device))


def taking(*names: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Let a command take the named options: they replace `options` in its signature."""

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        hints = get_type_hints(Options, include_extras=True)
        defaults = {field.name: field.default for field in dataclasses.fields(Options)}
        parameters = [
            inspect.Parameter(
                name, inspect.Parameter.KEYWORD_ONLY, default=defaults[name], annotation=hints[name]
            )
            for name in names
        ]
        own = inspect.signature(command, eval_str=True).parameters.values()
        flat = [
            parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)
            for place in own
            for parameter in (parameters if place.name == "options" else [place])
        ]

        @functools.wraps(command)
        def flattened(**values: Any) -> None:
            options = Options(**{name: values.pop(name) for name in names})
            command(**values, options=options)

        flattened.__signature__ = inspect.Signature(flat)  # type: ignore[attr-defined]
        flattened.__annotations__ = {parameter.name: parameter.annotation for parameter in flat}
        return flattened

    return decorate


def check_order(command: str, config: str, model: str) -> None:
    """Refuse a model named before its configuration.

    Raises:
        ConfigError: the first word is not a configuration, and the second is one.
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
