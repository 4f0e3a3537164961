"""Models that end, hang or fill the process they run in cost their own jobs and nothing else."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from robench.record.store import Store
from tests.faults.misbehaving import NETS, plan

ROBENCH = [sys.executable, "-P", "-m", "robench"]


@pytest.fixture
def run(tmp_path):
    """Return what runs a configuration in a folder of its own."""
    (tmp_path / "nets.py").write_text(NETS)

    def call(text, *options):
        (tmp_path / "plan.yaml").write_text(text)
        command = [*ROBENCH, "run", "plan.yaml", "-o", "out", "--trust-code", "--threads", "1", *options]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)

    return call


def accounts(folder):
    return {account["job"]: account["error"] for account in Store(folder / "out").read_errors().values()}


def judged(folder):
    """Return the models that were judged under attack."""
    return {r.target.name for r in Store(folder / "out").read_records() if r.attack.label == "pgd"}


@pytest.mark.thorough
def test_what_ends_its_process_costs_its_own_jobs(run, tmp_path):
    outcome = run(plan("make_exit", "make_die"))
    assert outcome.returncode == 3, outcome.stderr
    assert "Traceback" not in outcome.stderr
    assert judged(tmp_path) == {"good"}
    reasons = accounts(tmp_path)
    assert {job.split(" on ")[1].split()[0] for job in reasons} == {"make_exit", "make_die"}
    text = " ".join(reasons.values())
    assert "sys.exit(0)" in text
    assert "its process ended with exit code 0" in text
    assert json.loads((tmp_path / "out" / "run.json").read_text())["status"] == "failed jobs"
    assert (tmp_path / "out" / "leaderboard.csv").is_file()
    assert not (tmp_path / "out" / "leases").exists()


@pytest.mark.slow
def test_what_has_ended_its_worker_twice_is_not_tried_again(run, tmp_path):
    assert run(plan("make_exit", "make_crash")).returncode == 3
    assert "SIGSEGV" in " ".join(accounts(tmp_path).values())
    again = run(plan("make_exit", "make_crash"))
    assert again.returncode == 3
    # Judging clean images asks for gradients too: two jobs of the model. What raised is tried again.
    assert again.stderr.count("SIGSEGV; twice: try it again with --retry-failed\n") == 2
    assert "is tried once more" not in again.stderr


@pytest.mark.slow
def test_what_has_ended_its_worker_twice_can_be_tried_again(run, tmp_path):
    assert run(plan("make_die")).returncode == 3
    (tmp_path / "nets.py").write_text(NETS.replace("os._exit(0),", "None,"))
    outcome = run(plan("make_die"), "--retry-failed")
    assert outcome.returncode == 0, outcome.stderr
    assert judged(tmp_path) == {"good", "make_die"}


@pytest.mark.slow
def test_what_hangs_or_fills_memory_is_ended(run, tmp_path):
    start = time.monotonic()
    outcome = run(plan("make_hang", "make_fill"), "--timeout-per-job", "8", "--memory-per-job", "1500MB")
    assert outcome.returncode == 3, outcome.stderr
    assert time.monotonic() - start < 600
    assert judged(tmp_path) == {"good"}
    reasons = accounts(tmp_path)
    assert any("it took more than 8 s" in reason for job, reason in reasons.items() if "make_hang" in job)
    assert any("MiB of memory" in reason for job, reason in reasons.items() if "make_fill" in job)


@pytest.mark.slow
def test_what_a_model_has_started_ends_with_it(run, tmp_path, monkeypatch):
    monkeypatch.setenv("CHILDREN", str(tmp_path / "children"))
    outcome = run(plan("make_spawn"))
    assert outcome.returncode == 3, outcome.stderr
    assert judged(tmp_path) == {"good"}
    children = [int(word) for word in (tmp_path / "children").read_text().split()]
    assert len(children) == 4  # judging clean images and the attack, each tried twice
    assert not any(map(alive, children))


@pytest.mark.slow
def test_a_worker_that_closes_its_pipe_and_stays_is_ended(run, tmp_path):
    outcome = run(plan("make_close"))
    assert outcome.returncode == 3, outcome.stderr
    assert judged(tmp_path) == {"good"}
    assert set(accounts(tmp_path).values()) == {"its process was killed by SIGKILL"}


@pytest.mark.slow
def test_a_model_that_ends_its_process_while_it_is_made_leaves_the_others(run, tmp_path):
    outcome = run(plan("die_while_made"))
    assert outcome.returncode == 3, outcome.stderr
    assert judged(tmp_path) == {"good"}
    failures = json.loads((tmp_path / "out" / "run.json").read_text())["failed_models"]
    assert failures == {"die_while_made": "its process ended with exit code 0"}
    refusal = run(plan("stop_while_made"))
    assert refusal.returncode == 2
    assert "expected the network to be made without an error, got SystemExit: 0" in refusal.stderr


@pytest.mark.slow
def test_without_workers_sys_exit_fails_its_job(run, tmp_path):
    outcome = run(plan("make_exit"), "--workers", "0")
    assert outcome.returncode == 3, outcome.stderr
    assert judged(tmp_path) == {"good"}
    assert "sys.exit(0)" in " ".join(accounts(tmp_path).values())


def workers_of(process):
    """Return the workers of a command."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text()
    return [int(word) for word in children.split()]


def alive(pid):
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def hanging(tmp_path, *options):
    """Start a run that hangs in an attack; return its process and its workers."""
    (tmp_path / "nets.py").write_text(NETS)
    (tmp_path / "plan.yaml").write_text(plan("make_hang"))
    command = [*ROBENCH, "run", "plan.yaml", "-o", "out", "--trust-code", "--threads", "1", *options]
    process = subprocess.Popen(
        command, cwd=tmp_path, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline:
        leases = list((tmp_path / "out" / "leases").glob("[!rp]*.lease"))
        if len(list((tmp_path / "out" / "units").glob("*.json"))) == 1 and leases:
            break  # it hangs already while clean images are judged: gradients are asked for there too
        time.sleep(0.1)
    time.sleep(1.0)
    return process, workers_of(process)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("numbers", "code"),
    [
        ([signal.SIGTERM], 143),
        ([signal.SIGINT, signal.SIGINT], 130),
        ([signal.SIGUSR1, signal.SIGTERM], 143),
        ([signal.SIGKILL], -signal.SIGKILL),
    ],
)
def test_a_signal_is_answered_while_a_model_hangs_and_no_worker_is_left(tmp_path, numbers, code):
    process, workers = hanging(tmp_path)
    assert workers
    for number in numbers:
        start = time.monotonic()
        process.send_signal(number)
        time.sleep(0.5)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == code, stderr
    assert time.monotonic() - start < 5
    if code > 0:
        assert "Resume with: robench run plan.yaml" in stderr
        assert not (tmp_path / "out" / "leases").exists()
    deadline = time.monotonic() + 5
    while any(map(alive, workers)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not any(map(alive, workers))


@pytest.mark.slow
def test_the_lease_of_a_dead_run_is_taken_over(tmp_path, run):
    process, _ = hanging(tmp_path)
    process.kill()
    process.communicate()
    assert list((tmp_path / "out" / "leases").glob("*.lease"))
    outcome = run(plan("make_hang"), "--timeout-per-job", "5")
    assert outcome.returncode == 3, outcome.stderr
    assert "1 units finished, 1 cached, 2 failed" in outcome.stdout
    assert not (tmp_path / "out" / "leases").exists()
