"""The rank of this process under torchrun, and its working folder. No torch at import."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from robench.errors import ConfigError

STATE = "state.pt"


@dataclass(frozen=True, slots=True)
class Rank:
    """One of the processes that torchrun started.

    Attributes:
        number: its rank among all, from 0.
        count: how many there are.
        local: its rank on this machine: the number of its GPU.
    """

    number: int = 0
    count: int = 1
    local: int = 0

    @property
    def first(self) -> bool:
        """Whether this is the rank that writes files and prints."""
        return self.number == 0

    def device(self, wanted: str) -> str:
        """Return this rank's device for `auto`, `cpu` or `cuda`: the CPU, or a GPU of its own.

        Raises:
            ConfigError: one GPU was named for all of several ranks.
        """
        if self.count == 1 or wanted == "cpu":
            return wanted
        if wanted not in ("auto", "cuda"):
            raise ConfigError(
                where="--device",
                expected="auto, cpu or cuda under torchrun, where each process takes a GPU of its own",
                got=repr(wanted),
                do="Choose GPUs by CUDA_VISIBLE_DEVICES",
            )
        import torch

        return f"cuda:{self.local}" if wanted == "cuda" or torch.cuda.is_available() else "cpu"


def launched_rank() -> Rank:
    """Return the rank from torchrun's environment variables; rank 0 of 1 without torchrun."""
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        return Rank()
    number, count, local = (int(os.environ[name]) for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"))
    return Rank(number, count, local)


def refuse_several(what: str, do: str) -> None:
    """Refuse to run in several processes of torchrun.

    Raises:
        ConfigError: there are several.
    """
    count = launched_rank().count
    if count > 1:
        raise ConfigError(where=what, expected="one process", got=f"{count} of torchrun", do=do)


@contextmanager
def workplace(rank: Rank, folder: Path) -> Iterator[Path]:
    """Yield the folder a rank works in: the run folder for the first, a scratch folder for any other.

    A scratch folder has links to the weights in the run folder, so that all ranks agree on which networks are
    still untrained; it is deleted at the end, with everything that its rank wrote.
    """
    if rank.first:
        yield folder
        return
    with tempfile.TemporaryDirectory(prefix="robench-rank-") as scratch:
        models = (folder / "models").resolve()
        if models.is_dir():
            exclusions = shutil.ignore_patterns(STATE, ".*")
            shutil.copytree(models, Path(scratch) / "models", copy_function=os.symlink, ignore=exclusions)
        yield Path(scratch)
