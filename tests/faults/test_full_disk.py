"""A full disk is told by exit code 4, leaves no torn file, and costs nothing of what was finished before."""

import shutil

import pytest
from typer.testing import CliRunner

from benchmarks.free_attacks import Shape
from benchmarks.free_attacks import run as simulate
from robench import plugins
from robench.cli import app
from robench.errors import StorageError
from robench.record.comparison.repetition import differences_of
from robench.record.merging import merge
from robench.record.store import Store
from tests.faults.full_disk import FullDisk, torn, units_of

SHAPE = Shape(models=1, attacks=1, shards=1, images=3)
PLAN = """
name: small
dataset: {name: digits, limit: 12}
shard: 12
models:
  - name: net
    architecture: digits_cnn
    train: {defense: {natural: {epochs: 2}}, data: {limit: 60}}
  - name: net-wnll
    features_of: net
    head: {wnll: {m: 8, n: 4, template: 60}}
threats:
  - {norm: Linf, eps: 0.1, attacks: [fgsm]}
"""


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A finished run whose attacks cost nothing, which no test may change."""
    out = tmp_path_factory.mktemp("whole")
    simulate(out, SHAPE)
    return out


def requests_of(work, monkeypatch):
    """Return how many requests to write some work has."""
    with FullDisk().mounted(monkeypatch) as disk:
        work()
    return disk.asked


def at_every_request(whole, folder, work, monkeypatch):
    """Let the disk be full at every request of some work in turn; it must end well each time."""
    count = requests_of(lambda: work(folder / "all"), monkeypatch)
    refusals = set()
    for room in range(count):
        out = folder / str(room)
        with FullDisk(room).mounted(monkeypatch) as disk, pytest.raises(StorageError, match="No space left"):
            work(out)
        refusals.add(disk.refused[0])
        assert not out.exists() or not torn(out), room
        before = units_of(out)
        work(out)
        assert differences_of(Store(whole), Store(out)).same, room
        assert before.items() <= units_of(out).items(), room
        assert not (out / "damaged").exists()
        assert not list(out.glob("leases/*")), room
    return count, refusals


@pytest.mark.thorough
def test_a_run_ends_at_every_request_and_resumes(whole, tmp_path, monkeypatch):
    count, refusals = at_every_request(whole, tmp_path, lambda out: simulate(out, SHAPE), monkeypatch)
    assert count > 30
    assert refusals == {"open", "write", "fsync", "replace", "link", "mkdir"}


@pytest.mark.thorough
@pytest.mark.parametrize("links", [True, False])
def test_a_merge_ends_at_every_request_and_resumes(whole, tmp_path, monkeypatch, links):
    if not links:
        monkeypatch.setattr("robench.record.files.os.link", no_links)
    count, refusals = at_every_request(whole, tmp_path, lambda out: merge([whole], out), monkeypatch)
    assert count > 15
    assert {"open", "fsync", "replace", "mkdir"} <= refusals


def no_links(*_):
    raise OSError(95, "Operation not supported")


REPORTS = ("csv", "markdown", "cards", "html", "json", "badge", "latex")


@pytest.mark.thorough
@pytest.mark.parametrize("name", REPORTS)
def test_a_report_is_whole_or_as_it_was(whole, tmp_path, monkeypatch, name):
    records, report = Store(whole).read_records(), plugins.find("reports", name)()
    count = requests_of(lambda: report(records, tmp_path / "all" / "run"), monkeypatch)
    expected = {path.name: path.read_bytes() for path in (tmp_path / "all").rglob("*") if path.is_file()}
    assert count >= 3
    assert expected
    for room in range(count):
        out = tmp_path / str(room) / "run"
        with FullDisk(room).mounted(monkeypatch), pytest.raises(StorageError, match="No space left"):
            report(records, out)
        files = {path.name: path.read_bytes() for path in out.rglob("*") if path.is_file()}
        assert files.items() <= expected.items(), room  # whole, and nothing beside them


def run(folder, out):
    words = ["run", str(folder / "plan.yaml"), "-o", str(out), "--workers", "0", "--threads", "1", "-q"]
    return CliRunner().invoke(app, words, prog_name="robench")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A finished run with a training, features and reports, and how many requests to write it had."""
    folder = tmp_path_factory.mktemp("trained")
    (folder / "plan.yaml").write_text(PLAN)
    with pytest.MonkeyPatch.context() as patch, FullDisk().mounted(patch) as disk:
        outcome = run(folder, folder / "whole")
    assert outcome.exit_code == 0, outcome.output
    return folder, disk.asked


def check_command(training, tmp_path, monkeypatch, room):
    """Let the disk be full after so many requests of `robench run`, then give it room."""
    folder, out = training[0], tmp_path / str(room)
    with FullDisk(room).mounted(monkeypatch) as disk:
        outcome = run(folder, out)
    assert outcome.exit_code == 4, (room, disk.refused, outcome.output)
    assert "Traceback" not in outcome.output
    assert "No space left" in outcome.stderr, (room, disk.refused)
    assert not out.exists() or not torn(out), room
    before = units_of(out)
    outcome = run(folder, out)
    assert outcome.exit_code == 0, (room, outcome.output)
    assert differences_of(Store(folder / "whole"), Store(out)).same, room
    assert before.items() <= units_of(out).items(), room
    assert not (out / "damaged").exists()
    for name in ("leaderboard.csv", "leaderboard.md"):
        assert (out / name).read_bytes() == (folder / "whole" / name).read_bytes()


@pytest.mark.thorough
@pytest.mark.parametrize("part", range(8))
def test_a_command_ends_with_exit_code_4_and_resumes(trained, tmp_path, monkeypatch, part):
    check_command(trained, tmp_path, monkeypatch, part * trained[1] // 8)


@pytest.mark.slow
@pytest.mark.timeout(0)
@pytest.mark.parametrize("quarter", range(4))
def test_a_command_ends_so_at_every_request(trained, tmp_path, monkeypatch, quarter):
    for room in range(quarter * trained[1] // 4, (quarter + 1) * trained[1] // 4):
        check_command(trained, tmp_path, monkeypatch, room)
        shutil.rmtree(tmp_path / str(room))
