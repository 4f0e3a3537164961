"""`robench train`: train the networks of a configuration, with checkpoints and resume; evaluate nothing.

Under torchrun every process runs this; the first one alone writes into the run folder and speaks.
"""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING

import typer

from robench.cli.option_types import Config
from robench.cli.options import Options, taking
from robench.cli.session import SOME_FAILED, finish, interruptible
from robench.errors import ConfigError
from robench.run.models.torchrun import launched_rank, workplace

if TYPE_CHECKING:
    from robench.run.outcome import Outcome
    from robench.run.progress import Reporter


@taking(
    "out", "overrides", "seed", "device", "data_root", "download", "threads", "trust_code", "force", "quiet"
)
def train(config: Config = "robench.yaml", *, options: Options) -> None:
    """Train the networks of a configuration; the same command again resumes."""
    plan, text = options.plan(config)
    folder = options.folder(plan)
    rank = launched_rank()
    if rank.count > 1:
        # PyTorch's engine warns that it searches unused parameters, which is our setting.
        os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    if rank.count > 1 and options.download:
        do = "Start it once without torchrun, and stop it when the training begins"
        raise ConfigError(where="--download", expected="data that is there", got="several processes", do=do)

    def work(reporter: Reporter) -> Outcome:
        from robench.run.execute import train_only

        environment = replace(options.environment, device=rank.device(options.device))
        with workplace(rank, folder) as place:
            return train_only(plan, place, config_text=text, environment=environment, reporter=reporter)

    quiet = options.quiet or not rank.first
    outcome = interruptible(work, folder, quiet=quiet, threads=options.threads)
    if rank.first:
        paths = [folder / "models"]
        finish(outcome, "network", paths, folder=folder, quiet=options.quiet, label="Weights")
    elif outcome.failed:
        raise typer.Exit(SOME_FAILED)
