"""`robench verify RUN`: hash, judge and repeat what a run claims; exit code 1 where it does not hold."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from robench.cli.guard import printable
from robench.cli.run import DataRoot, Device, Download, QuietFlag, Threads, TrustCode, check_device
from robench.errors import ConfigError

if TYPE_CHECKING:
    from robench.audit.rejudgement import Check

FAILED = 1


def verify(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Run folder.")],
    sample: Annotated[int, typer.Option("--sample", min=1, help="Jobs to do again from the start.")] = 3,
    batch_size: Annotated[
        int, typer.Option("--batch-size", min=1, help="Images per pass of the new judgement.")
    ] = 97,
    seed: Annotated[int, typer.Option("--seed", min=0, help="For the choice of the sample.")] = 0,
    device: Device = "auto",
    data_root: DataRoot = None,
    download: Download = False,
    threads: Threads = None,
    trust_code: TrustCode = False,
    quiet: QuietFlag = False,
) -> None:
    """Verify a run: files, tables, hashes, verdicts on the stored images, and a sample of jobs done again."""
    from robench.record.store import is_run

    if not is_run(run):
        do = "Name the folder that `robench run` printed last"
        raise ConfigError(where=str(run), expected="a run folder", got="no `units` in it", do=do)
    check_device(device)
    from robench.audit.verify import verify as checks
    from robench.machine import keep_freed_memory, resolve_device
    from robench.record.store import Store

    keep_freed_memory()
    if threads:
        import torch

        torch.set_num_threads(threads)
    failed = 0
    for check in checks(
        Store(run),
        device=resolve_device(device),
        data_root=data_root,
        download=download,
        trust_code=trust_code,
        sample=sample,
        batch_size=batch_size,
        seed=seed,
        watcher=_Watcher(),
    ):
        failed += not check.holds
        if not quiet or not check.holds:
            typer.echo(printable(_line(check)))
    typer.echo(f"{run}: {'does NOT hold' if failed else 'holds'}")
    if failed:
        raise typer.Exit(FAILED)


class _Watcher:
    """Tells of failures only: the checks speak for themselves."""

    def stage(self, text: str) -> None:
        """Say nothing."""

    def training(self, row: dict[str, float]) -> None:
        """Say nothing: nothing is trained."""

    def finding(self, text: str) -> None:
        """Say nothing: nothing is trained."""

    def failed(self, text: str) -> None:
        """Say which model could not be rebuilt."""
        typer.echo(printable(f"failed: {text}"), err=True)


def _line(check: Check) -> str:
    word = "ok    " if check.holds else "FAILED"
    allowed = f" (up to {check.allowed} may)" if check.allowed else ""
    tail = f": {check.evidence}" if check.evidence else ""
    return f"{word} {check.name:<9} {check.looked} looked at, {check.wrong} differ{allowed}{tail}"
