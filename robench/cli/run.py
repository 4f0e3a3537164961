"""`robench run`: evaluate a configuration, keep everything, print the leaderboard. The same again resumes."""

from __future__ import annotations

from robench.cli.option_types import Config
from robench.cli.options import Options, taking
from robench.cli.run_and_report import evaluate
from robench.run.models.torchrun import refuse_several


@taking(
    "out", "overrides", "limit", "seed", "device", "data_root", "download", "batch_size", "threads",
    "trust_code", "dry_run", "force", "strict", "quiet", "format", "engine", "workers", "timeout_per_job",
    "memory_per_job", "retry_failed", "executor", "address", "shard", "deterministic", "log",
)  # fmt: skip
def run(config: Config = "robench.yaml", *, options: Options) -> None:
    """Evaluate a configuration and print its leaderboard; the same command again resumes."""
    refuse_several("robench run", "Train by `torchrun -m robench train`, then evaluate without torchrun")
    plan, text = options.plan(config)
    evaluate(plan, text, options)
