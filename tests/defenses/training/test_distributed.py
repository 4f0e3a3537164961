"""Several processes: what each does alone, and, under torchrun, that they learn what one would."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from defenses.training.distributed import check_batch_sizes
from defenses.training.loop import _identity
from defenses.training.objective import Stage
from defenses.training.processes import ProcessGroup, join_processes
from robench.errors import ConfigError
from robench.run.models.torchrun import Rank, launched_rank, refuse_several, workplace
from tests.defenses.several import AGREEING
from tests.defenses.toys import context, network, recipe, toy

ROOT = Path(__file__).parents[3]
CONFIG = """
schema: 1
dataset: {name: digits, limit: 20}
models:
  - name: net
    architecture: digits_cnn
    train: {defense: {natural: {epochs: 2, batch_size: 64}}, data: {limit: 200}}
"""


def torchrun(*command, cwd=ROOT):
    """Start two processes on this machine and return what came of them."""
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": os.environ.get("HOME", ""),
        "PYTHONPATH": str(ROOT),
        "OMP_NUM_THREADS": "1",
    }
    launcher = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", "--standalone"]
    return subprocess.run(
        [*launcher, *command],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_alone_nothing_changes():
    group, values = ProcessGroup(), torch.rand(5)
    assert join_processes(torch.device("cpu")) == group
    assert launched_rank() == Rank()
    rows = torch.arange(7)
    assert group.share(rows) is rows
    loss = values.mean()
    assert group.weighted_loss(loss, 7, 7) is loss
    assert group.sum(values) is values
    assert group.from_first(lambda: "made") == "made"
    assert group.gather(3) == [3]
    assert group.random_label == ()
    own = context()
    assert group.context(own) is own


@pytest.mark.parametrize("count", [2, 3])
def test_shares_make_up_the_batch_and_their_weighted_losses_its_mean(count):
    rows, losses = torch.arange(10), torch.rand(10, dtype=torch.float64)
    groups = [ProcessGroup(rank, count) for rank in range(count)]
    shares = [group.share(rows) for group in groups]
    assert torch.equal(torch.cat(shares), rows)
    assert max(map(len, shares)) - min(map(len, shares)) <= 1
    parts = [g.weighted_loss(losses[s].mean(), len(s), 10) for g, s in zip(groups, shares, strict=True)]
    torch.testing.assert_close(sum(parts) / count, losses.mean())
    assert len({group.random_label for group in groups}) == count


def test_only_the_first_has_files_and_somebody_to_tell(tmp_path):
    own = context(tmp_path / "state")
    assert ProcessGroup(0, 2).context(own) is own
    other = ProcessGroup(1, 2).context(own)
    assert (other.state, other.history, other.last, other.seed) == (None, None, None, own.seed)


def test_what_objectives_carry_is_kept_apart():
    state = {"0/delta": torch.zeros(1), "1/delta": torch.ones(1), "11/delta": torch.ones(2)}
    assert torch.equal(ProcessGroup(1, 12).own_state(state)["delta"], torch.ones(1))
    assert list(ProcessGroup(0, 12).own_state(state)) == ["delta"]


def test_steps_smaller_than_the_number_of_processes_are_refused():
    net, options = network(), recipe("natural", batch_size=3)
    stage = Stage(network=net, objective=None, options=options, training_set=toy(10))
    check_batch_sizes(ProcessGroup(0, 2), [stage])
    with pytest.raises(ConfigError, match="Raise batch_size"):
        check_batch_sizes(ProcessGroup(0, 3), [stage])


def test_the_number_of_processes_is_part_of_what_a_training_is():
    net, data, options = network(), toy(10), recipe("natural")
    alone = _identity(net, data, options, context(), ProcessGroup())
    assert "processes" not in alone
    assert _identity(net, data, options, context(), ProcessGroup(1, 2)) == alone | {"processes": 2}


def test_ranks_are_read_from_torchrun(monkeypatch):
    refuse_several("robench run", "evaluate alone")
    for name, value in {"RANK": "3", "WORLD_SIZE": "8", "LOCAL_RANK": "1"}.items():
        monkeypatch.setenv(name, value)
    assert launched_rank() == Rank()  # another launcher's variables are not taken for torchrun's
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "none")
    rank = launched_rank()
    assert rank == Rank(3, 8, 1)
    assert not rank.first
    assert (rank.device("cpu"), rank.device("cuda")) == ("cpu", "cuda:1")
    with pytest.raises(ConfigError, match="CUDA_VISIBLE_DEVICES"):
        rank.device("cuda:0")
    with pytest.raises(ConfigError, match="8 of torchrun"):
        refuse_several("robench run", "evaluate alone")


def test_others_work_in_a_scratch_folder_that_knows_the_finished_weights(tmp_path):
    network_folder = tmp_path / "models" / "net-1"
    network_folder.mkdir(parents=True)
    (network_folder / "weights.safetensors").write_text("weights")
    (network_folder / "state.pt").write_text("state")
    with workplace(Rank(0, 2, 0), tmp_path) as place:
        assert place == tmp_path
    with workplace(Rank(1, 2, 1), tmp_path) as place:
        own = place / "models" / "net-1" / "weights.safetensors"
        assert own.read_text() == "weights"
        assert not (own.parent / "state.pt").exists()
        own.unlink()
        own.write_text("other")
    assert not place.exists()
    assert (network_folder / "weights.safetensors").read_text() == "weights"
    with workplace(Rank(1, 2, 1), tmp_path / "new") as place:
        assert place.is_dir()


@pytest.mark.slow
def test_two_processes_learn_what_one_does_and_resume(tmp_path):
    outcome = torchrun("tests/defenses/several.py", "agree", str(tmp_path))
    assert outcome.returncode == 0, outcome.stderr
    alone = [sys.executable, "tests/defenses/several.py", "agree", str(tmp_path)]
    subprocess.run(alone, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=True)
    single, first, second = (torch.load(tmp_path / f"{name}.pt") for name in ("alone", "0", "1"))
    for name, (weights, history) in first.items():
        assert all(torch.equal(tensor, second[name][0][key]) for key, tensor in weights.items()), name
        assert second[name][1] == history, name
    for name in AGREEING:
        for key, tensor in single[name][0].items():
            # Signed steps to the images it trains on carry the rounding of a sum of shares further.
            close = 2e-3 if name == "trades" else 1e-4
            torch.testing.assert_close(
                first[name][0][key], tensor, rtol=1e-4, atol=close, msg=f"{name} {key}"
            )
        for one, other in zip(single[name][1], first[name][1], strict=True):
            assert one["loss"] == pytest.approx(other["loss"], rel=1e-4)
            # Rounding may turn the one or other of 80 and 20 images that lie on the boundary.
            assert one == pytest.approx(other, rel=1e-4, abs=0.051)
    for key, tensor in first["whole"][0].items():
        assert torch.equal(tensor, first["resumed"][0][key])
    assert first["whole"][1] == first["resumed"][1]


@pytest.mark.slow
def test_a_failure_of_one_process_ends_all_and_a_lost_loss_is_everybodys(tmp_path):
    outcome = torchrun("tests/defenses/several.py", "fail", str(tmp_path))
    assert outcome.returncode != 0
    assert "ValueError: only here" in outcome.stderr
    assert "process 1 of 2 failed: ValueError" in outcome.stderr
    assert list(tmp_path.iterdir()) == []
    outcome = torchrun("tests/defenses/several.py", "diverge", str(tmp_path))
    assert outcome.returncode == 0, outcome.stderr
    first, second = ((tmp_path / f"{rank}.txt").read_text() for rank in (0, 1))
    assert first == second
    assert "a finite training loss, got nan" in first


@pytest.mark.slow
def test_the_command_line_under_torchrun(tmp_path):
    (tmp_path / "c.yaml").write_text(CONFIG)
    train = ("-m", "robench", "train", "c.yaml", "-o", "out", "--device", "cpu")
    outcome = torchrun(*train, cwd=tmp_path)
    assert outcome.returncode == 0, outcome.stderr
    assert outcome.stdout.count("1 network finished") == 1
    assert outcome.stderr.count("training net") == 1
    (weights,) = (tmp_path / "out" / "models").glob("*/weights.safetensors")
    before = weights.stat().st_mtime_ns
    again = torchrun(*train, cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    assert "not trained again" in again.stderr
    assert weights.stat().st_mtime_ns == before
    refusal = torchrun("-m", "robench", "run", "c.yaml", "-o", "out", cwd=tmp_path)
    assert refusal.returncode != 0
    assert "expected one process, got 2 of torchrun" in refusal.stderr
