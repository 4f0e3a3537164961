"""`robench merge` writes to a folder that nobody else writes to, and to none where parts do not fit."""

from typer.testing import CliRunner

from benchmarks.free_attacks import Shape
from benchmarks.free_attacks import run as simulate
from robench.cli import app
from robench.errors import ConfigError
from robench.record import merging
from robench.run.workers.leases import Leases


def merged(*parts, out):
    return CliRunner().invoke(app, ["merge", *map(str, parts), "-o", str(out)], prog_name="robench")


def test_a_merge_is_refused_while_another_process_writes_to_the_folder(tmp_path):
    for name in ("one", "all"):
        simulate(tmp_path / name, Shape(models=1, attacks=1, shards=1))
    before = {path: path.read_bytes() for path in (tmp_path / "all").rglob("*") if path.is_file()}
    with Leases(tmp_path / "all" / "leases").joined("a run of the same plan"):
        outcome = merged(tmp_path / "one", out=tmp_path / "all")
        assert outcome.exit_code == 2
        assert "another robench process is writing to" in " ".join(outcome.stderr.split())
        assert {path: path.read_bytes() for path in before} == before
    outcome = merged(tmp_path / "one", out=tmp_path / "all")
    assert outcome.exit_code == 0, outcome.stderr
    assert not (tmp_path / "all" / "leases").exists()


def test_a_run_is_refused_while_parts_are_merged_into_its_folder(tmp_path, monkeypatch):
    simulate(tmp_path / "one", Shape(models=1, attacks=1, shards=1))
    copy, messages = merging.copy_atomic, []

    def meeting(source, path):
        try:
            simulate(tmp_path / "all", Shape(models=1, attacks=1, shards=1))
        except ConfigError as error:
            messages.append(str(error))
        copy(source, path)

    monkeypatch.setattr(merging, "copy_atomic", meeting)
    assert merged(tmp_path / "one", out=tmp_path / "all").exit_code == 0
    assert messages
    assert all("another robench process is writing to" in text for text in messages)


def test_parts_of_two_plans_are_refused_before_the_folder_is_made(tmp_path):
    for name, attacks in (("one", 1), ("two", 2)):
        simulate(tmp_path / name, Shape(models=1, attacks=attacks, shards=1))
    outcome = merged(tmp_path / "one", tmp_path / "two", out=tmp_path / "all")
    assert outcome.exit_code == 2
    assert not (tmp_path / "all").exists()
