"""`robench train`: train the networks of a configuration, with checkpoints and resume; evaluate nothing.

Under torchrun every process runs this; the first one alone writes into the run folder and speaks.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from robench.cli.run import (
    SOME_FAILED,
    Config,
    DataRoot,
    Device,
    Download,
    Force,
    Out,
    QuietFlag,
    Seed,
    Set,
    Threads,
    TrustCode,
    check_device,
    finish,
    interruptible,
    planned,
)
from robench.errors import ConfigError
from robench.plan.data_root import check_checkpoints
from robench.run.torchrun import launched_rank, workplace

if TYPE_CHECKING:
    from robench.run.execute import Outcome


def train(
    config: Config = "robench.yaml",
    out: Out = None,
    overrides: Set = None,
    seed: Seed = None,
    device: Device = "auto",
    data_root: DataRoot = None,
    download: Download = False,
    threads: Threads = None,
    trust_code: TrustCode = False,
    force: Force = False,
    quiet: QuietFlag = False,
) -> None:
    """Train the networks of a configuration; the same command again resumes."""
    plan, text = planned(config, overrides, limit=None, seed=seed, batch_size=None)
    check_checkpoints(plan, data_root)
    folder = out or Path("runs") / plan.name
    check_device(device)
    rank = launched_rank()
    if rank.count > 1:
        # Torch's engine warns that it looks for unused parameters, which it is told to do.
        os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    if rank.count > 1 and download:
        do = "Start it once without torchrun, and stop it when the training begins"
        raise ConfigError(where="--download", expected="data that is there", got="several processes", do=do)

    def work(reporter: Any) -> Outcome:
        from robench.run.execute import train_only

        with workplace(rank, folder) as place:
            return train_only(
                plan,
                place,
                config_text=text,
                device=rank.device(device),
                data_root=data_root,
                download=download,
                trust_code=trust_code,
                force=force,
                reporter=reporter,
            )

    outcome = interruptible(work, folder, quiet=quiet or not rank.first, threads=threads)
    if rank.first:
        finish(outcome, "networks", [folder / "models"], folder=folder)
    elif outcome.failed:
        raise typer.Exit(SOME_FAILED)
