"""Which of several processes this is, as torchrun tells it, and where it works. No torch at import."""

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
        local: its rank among those of this machine: the number of its GPU.
    """

    number: int = 0
    count: int = 1
    local: int = 0

    @property
    def first(self) -> bool:
        """Whether it is the one that writes and speaks."""
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
    """Return what torchrun says in the environment; the only rank of one where it did not start us."""
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

    A scratch folder has links to the weights that are in the run folder, so that all ranks agree on what is
    still to train; it is deleted at the end, with all that a rank wrote beside the first.
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
