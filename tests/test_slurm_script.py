"""The array script of docs/scale.md queues a job again after SIGUSR1, and only then."""

import os
import re
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

PAGE = (Path(__file__).parents[1] / "docs" / "scale.md").read_text("utf-8")
(SCRIPT,) = re.findall(r"```bash\n(#!/bin/bash\n#SBATCH.*?)```", PAGE, re.DOTALL)

ROBENCH = """#!/bin/bash
echo "$@" >> asked
trap 'sleep 0.3; echo finished >> asked; exit 138' USR1
echo ready > ready
if [ -n "$ENDS" ]; then exit "$ENDS"; fi
while :; do sleep 0.05; done
"""
SCONTROL = """#!/bin/bash
echo "$@" >> queued
"""

pytestmark = pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")


@pytest.fixture
def start(tmp_path):
    """Return what starts the script where `robench` and `scontrol` are stand-ins."""
    for name, text in (("robench", ROBENCH), ("scontrol", SCONTROL), ("job", SCRIPT)):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    facts = {"PATH": path, "SLURM_ARRAY_TASK_ID": "3", "SLURM_JOB_ID": "77"}
    processes = []

    def begin(**more):
        processes.append(subprocess.Popen(["bash", "job"], cwd=tmp_path, env={**os.environ, **facts, **more}))
        return processes[-1]

    yield begin
    for process in processes:
        process.kill()
        process.wait()


def test_before_the_limit_the_unit_is_finished_and_the_job_queued_again(start, tmp_path):
    process = start()
    while not (tmp_path / "ready").exists():
        assert process.poll() is None
    process.send_signal(signal.SIGUSR1)  # to the script alone, as `B:` says
    assert process.wait(timeout=60) == 138
    request = "run study.yaml --out parts/3 --shard 3/16"
    assert (tmp_path / "asked").read_text().splitlines() == [request, "finished"]
    assert (tmp_path / "queued").read_text() == "requeue 77\n"


@pytest.mark.parametrize("code", [0, 3, 4, 143])
def test_whatever_else_ends_a_run_ends_the_job(start, tmp_path, code):
    assert start(ENDS=str(code)).wait(timeout=60) == code
    assert not (tmp_path / "queued").exists()
