"""How each option that commands share looks on the command line: its flag, its help and its panel."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from robench.engines import Engine as EngineName

PLAN = "What is done"
PLACE = "Where and how"
WORKERS = "Worker processes"
RESULT = "Result"

Config = Annotated[
    str, typer.Argument(metavar="CONFIG_OR_SUITE", help="A YAML file, or the name of a suite.")
]
Out = Annotated[
    Path | None,
    typer.Option(
        "-o", "--out", envvar="ROBENCH_OUT", help="Run folder, by default runs/NAME.", rich_help_panel=RESULT
    ),
]
Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="PATH.TO.KEY=VALUE", help="Override a value; repeatable.", rich_help_panel=PLAN
    ),
]
Seed = Annotated[int | None, typer.Option("--seed", min=0, help="Override the seed.", rich_help_panel=PLAN)]
Limit = Annotated[
    int | None, typer.Option("--limit", min=1, help="Evaluate on so many images only.", rich_help_panel=PLAN)
]
Device = Annotated[
    str,
    typer.Option(
        "--device", envvar="ROBENCH_DEVICE", help="auto, cpu, cuda or cuda:N.", rich_help_panel=PLACE
    ),
]
DataRoot = Annotated[
    Path | None,
    typer.Option(
        "--data-root", envvar="ROBENCH_DATA_ROOT", help="Folder with data sets.", rich_help_panel=PLACE
    ),
]
Download = Annotated[
    bool,
    typer.Option("--download", help="Allow data sets and weights to be downloaded.", rich_help_panel=PLACE),
]
BatchSize = Annotated[
    int | None, typer.Option("--batch-size", min=1, help="Most images per pass.", rich_help_panel=PLACE)
]
Threads = Annotated[
    int | None,
    typer.Option(
        "--threads", min=1, help="CPU threads; 1 suits tiny networks and shared cores.", rich_help_panel=PLACE
    ),
]
TrustCode = Annotated[
    bool,
    typer.Option("--trust-code", help="Allow Python files that are named to run.", rich_help_panel=PLACE),
]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Show what would be done and stop.", rich_help_panel=PLAN)
]
Force = Annotated[bool, typer.Option("--force", help="Compute everything again.", rich_help_panel=PLAN)]
Engine = Annotated[
    EngineName,
    typer.Option(
        "--engine",
        help="auto: attack a faster copy, proven equal; eager: the network; compiled: a compiled copy; "
        "bfloat16: in bfloat16 what is clear, for processors that have it; graphs: CUDA graphs of a copy; "
        "fastest: the proven copy that is fastest by the clock.",
        rich_help_panel=PLACE,
    ),
]
Workers = Annotated[
    int,
    typer.Option(
        "--workers",
        min=0,
        max=1024,
        help="Worker processes; 0 does everything in this process, unguarded.",
        rich_help_panel=WORKERS,
    ),
]
Timeout = Annotated[
    float | None,
    typer.Option(
        "--timeout-per-job",
        min=0.001,
        metavar="SECONDS",
        help="End a job that takes longer; by default by the passes it has to make, and generously.",
        rich_help_panel=WORKERS,
    ),
]
Memory = Annotated[
    str | None,
    typer.Option(
        "--memory-per-job",
        metavar="SIZE",
        help="End a job whose process takes more, such as 8GB or 500MB.",
        rich_help_panel=WORKERS,
    ),
]
RetryFailed = Annotated[
    bool,
    typer.Option(
        "--retry-failed", help="Try jobs again that have ended their worker twice.", rich_help_panel=WORKERS
    ),
]
Executor = Annotated[
    Literal["local", "ray"],
    typer.Option(
        "--executor", help="local: workers on this machine; ray: on a Ray cluster.", rich_help_panel=WORKERS
    ),
]
Address = Annotated[
    str | None,
    typer.Option(
        "--address",
        help="Of the Ray cluster, such as auto; by default one of its own.",
        rich_help_panel=WORKERS,
    ),
]
Part = Annotated[
    str | None,
    typer.Option(
        "--shard",
        metavar="I/N",
        help="Do the I-th of N equal parts; `robench merge` joins them.",
        rich_help_panel=WORKERS,
    ),
]
Deterministic = Annotated[
    bool,
    typer.Option(
        "--deterministic",
        help="Refuse operations whose bits vary from run to run (GPUs).",
        rich_help_panel=PLACE,
    ),
]
Strict = Annotated[
    bool,
    typer.Option(
        "--strict", help="Exit with code 1 if a finding puts a row in doubt.", rich_help_panel=RESULT
    ),
]
QuietFlag = Annotated[
    bool, typer.Option("-q", "--quiet", help="Print only how it ended.", rich_help_panel=RESULT)
]
Format = Annotated[
    Literal["text", "json"],
    typer.Option(
        "--format", help="Of what goes to stdout: text, or json alone for programs.", rich_help_panel=RESULT
    ),
]
Log = Annotated[
    str | None,
    typer.Option(
        "--log",
        metavar="mlflow:FOLDER|trackio:FOLDER",
        help="Also tell MLflow, in a folder or at a URI, or trackio; what fails there never stops a run.",
        rich_help_panel=RESULT,
    ),
]
