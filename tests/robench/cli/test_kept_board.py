"""A leaderboard that was kept in a run folder is shown only while it is still what the records say."""

import json
import os
import shutil

import pytest
from rich.text import Text
from typer.testing import CliRunner

from benchmarks.free_attacks import Shape, lay_out
from reports.text.fitting_table import FittingTable
from reports.text.kept_parts import read, written
from robench.cli.app import app
from robench.cli.run_and_report import _report, _tables
from robench.record import kept_text, store
from robench.record.columns.packed_columns import unpacked_columns
from robench.record.index import folder_index
from robench.record.index.index_file import INDEX
from robench.record.kept_text import KEPT, KeptText
from robench.record.store import Store

SHAPE = Shape(models=2, attacks=2, shards=1, images=20, transfer=True)


@pytest.fixture(autouse=True)
def eager(monkeypatch):
    """Texts of runs of any size, of files of any age."""
    for module in (folder_index, store, kept_text):
        monkeypatch.setattr(module, "FEWEST", 1)
    for module in (folder_index, kept_text):
        monkeypatch.setattr(module, "SETTLED_NS", -(10**18))


@pytest.fixture
def run(tmp_path):
    lay_out(tmp_path / "run", SHAPE)
    return tmp_path / "run"


def board(run, *options):
    result = CliRunner().invoke(app, ["leaderboard", str(run), *options], prog_name="robench")
    assert result.exit_code == 0, result.output
    return result.stdout


def reads(monkeypatch):
    """The keys of the records that a board is made from."""
    keys = []
    light = Store._light
    monkeypatch.setattr(Store, "_light", lambda self, key, *rest: keys.append(key) or light(self, key, *rest))
    return keys


def test_what_is_kept_is_shown_without_a_record_and_is_the_same(run, tmp_path, monkeypatch):
    plain = board(run, "--no-index")
    assert not (run / KEPT).exists()
    assert board(run) == plain
    keys = reads(monkeypatch)
    assert board(run) == plain
    assert not keys
    board(run, "-o", str(tmp_path / "board.txt"))
    assert not keys
    for options in (["--details"], ["--format", "md"], ["--no-index"]):
        board(run, *options)
        assert len(keys) == SHAPE.units
        keys.clear()


@pytest.mark.thorough
def test_the_width_of_the_terminal_is_not_kept(run, monkeypatch):
    board(run)
    for width in ("60", "200"):
        monkeypatch.setenv("COLUMNS", width)
        assert board(run) == board(run, "--no-index")


@pytest.mark.thorough
@pytest.mark.parametrize(
    "change", ["record", "touch", "more", "less", "plan", "facts", "journal", "error", "code", "copy", "text"]
)
def test_whatever_changes_is_seen(run, monkeypatch, change):
    before = board(run)
    own = Store(run)
    first = next(key for key in own.planned() if own.read(key).attack.name == "pgd")
    path = own.unit(first)
    if change == "record":
        one = own.read(first)
        status = ["broken"] * SHAPE.images
        columns = unpacked_columns({**one.columns.plain(), "status": status})
        own.write(one.noting(columns=columns), replace=True)
    elif change == "touch":
        os.utime(path)
    elif change == "more":
        shutil.copy(path, own.unit("another"))
    elif change == "less":
        path.unlink()
    elif change in {"plan", "facts", "journal"}:
        name = {"plan": "plan.json", "facts": "run.json", "journal": "finished.txt"}[change]
        (run / name).write_bytes((run / name).read_bytes())
    elif change == "error":
        own.write_error("another", {"key": "another"})
    elif change == "code":
        monkeypatch.setattr(kept_text, "_code", lambda: ["other"])
    elif change == "copy":
        shutil.copytree(run, run.with_name("copy"))
        run = run.with_name("copy")
    else:
        content = json.loads((run / KEPT).read_text())
        (run / KEPT).write_text(json.dumps(content | {"text": content["text"].replace("m0", "m1")}))
    keys = reads(monkeypatch)
    now = board(run)
    assert keys
    assert now == board(run, "--no-index")
    assert (now != before) == (change in {"record", "less"})


@pytest.mark.parametrize("name", ["units", "run.json"])
def test_what_a_link_leads_to_is_looked_at(run, tmp_path, monkeypatch, name):
    path = Store(run).unit(Store(run).planned()[0]) if name == "units" else run / name
    elsewhere = tmp_path / "elsewhere.json"
    path.rename(elsewhere)
    path.symlink_to(elsewhere)
    board(run)
    assert (run / KEPT).exists()
    elsewhere.write_bytes(elsewhere.read_bytes())
    keys = reads(monkeypatch)
    board(run)
    assert keys


def test_what_is_damaged_is_told_each_time(run):
    path = Store(run).unit(Store(run).planned()[0])
    path.write_text("{")
    for _ in range(2):
        result = CliRunner().invoke(app, ["leaderboard", str(run)], prog_name="robench")
        assert result.exit_code == 0
        assert f"{path.name}" in result.stderr
    assert not (run / KEPT).exists()


def test_few_and_fresh_records_keep_no_text(run, monkeypatch):
    monkeypatch.setattr(kept_text, "SETTLED_NS", 10**12)
    board(run)
    monkeypatch.setattr(kept_text, "SETTLED_NS", -(10**18))
    monkeypatch.setattr(kept_text, "FEWEST", SHAPE.units + 1)
    board(run)
    assert not (run / KEPT).exists()


@pytest.mark.thorough
@pytest.mark.parametrize(
    "content", ["", "[]", "{", '{"of": 1}', "null", '{"of": "x", "text": 3}', "[" * 10_000]
)
def test_a_file_that_is_no_kept_text_is_made_again(run, content):
    plain = board(run, "--no-index")
    (run / KEPT).write_text(content)
    assert board(run) == plain
    assert json.loads((run / KEPT).read_text())["of"]


def test_a_text_is_about_one_thing(run):
    KeptText(run, "one").write("é\ud800")
    assert KeptText(run, "one").read() == "é\ud800"
    assert KeptText(run, "other").read() is None


def test_tables_and_lines_come_back_as_they_were():
    line = Text("! ", style="yellow")
    line.append("name: code", style="bold")
    line.append(": [evidence]\ud800.")
    table = FittingTable(
        title="t", header=["a", "b"], rows=[["é", "1"]], left=frozenset({"a"}), first=frozenset({"b"}), keys=1
    )
    back = read(written([table, line]))
    assert back == [table, line]
    assert back[1].spans == line.spans
    assert back[1].style == line.style
    with pytest.raises(TypeError):
        written(["neither"])


@pytest.mark.thorough
def test_the_end_of_a_run_reads_every_record_once_and_reports_the_same(run, tmp_path, monkeypatch):
    plain = tmp_path / "plain" / "run"
    shutil.copytree(run, plain)
    with monkeypatch.context() as patch:
        patch.setattr(store, "FEWEST", 10**9)
        tables = _tables(plain)
        _report(plain, quiet=True)
    assert not (plain / INDEX).exists()
    assert _tables(run) == tables
    assert (run / INDEX).exists()
    keys = []
    monkeypatch.setattr(Store, "_light", _told(Store._light, keys))
    _report(run, quiet=True)
    assert len(keys) == SHAPE.units
    assert not any(keys)  # none of them from its file
    for name in ("leaderboard.csv", "leaderboard.md", "measurements.csv", "report.html"):
        assert (run / name).read_bytes() == (plain / name).read_bytes()
    keys.clear()
    assert _tables(run) == tables
    assert all(keys)  # the next run believes no index


def _told(light, notes):
    """Reading a record, and a note whether its file was opened for it."""

    def reading(self, key, *rest):
        files = []
        whole = self._read
        self._read = lambda own, **how: files.append(own) or whole(own, **how)
        try:
            return light(self, key, *rest)
        finally:
            del self._read
            notes.append(bool(files))

    return reading
