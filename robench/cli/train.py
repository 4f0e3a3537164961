"""`robench train`: train the networks of a configuration, with checkpoints and resume; evaluate nothing."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from robench.cli.run import (
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

if TYPE_CHECKING:
    from robench.run import Outcome


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
    folder = out or Path("runs") / plan.name
    check_device(device)

    def work(reporter: Any) -> Outcome:
        from robench.run import train_only

        return train_only(
            plan,
            folder,
            config_text=text,
            device=device,
            data_root=data_root,
            download=download,
            trust_code=trust_code,
            force=force,
            reporter=reporter,
        )

    finish(interruptible(work, folder, quiet=quiet, threads=threads), "networks", [folder / "models"])
