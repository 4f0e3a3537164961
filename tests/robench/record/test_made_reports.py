"""Reports are taken for made only while they, all they were made from, and the code are the same."""

import json
import os

import pytest

from robench.record import made_reports
from robench.record.made_reports import MADE, MadeReports


@pytest.fixture
def run(tmp_path):
    run = tmp_path / "run"
    for name in ("units/a.json", "data/x.bin", "plan.json", "report.html", "cards/net.md", "index.bin"):
        (run / name).parent.mkdir(parents=True, exist_ok=True)
        (run / name).write_text(name)
    memory = MadeReports(run)
    assert memory.paths() is None
    memory.note([run / "report.html", run / "cards"])
    return run


def test_what_is_the_same_is_not_made_again(run):
    assert MadeReports(run).paths() == [run / "report.html", run / "cards"]
    (run / "index.bin").write_text("made from records, as reports are")
    (run / "units" / "a.json").touch()
    assert MadeReports(run).paths() is not None


@pytest.mark.parametrize(
    "change",
    ["report", "no report", "card", "another card", "unit", "same size", "more", "less", "no mark",
     "broken mark", "mark of another kind", "name", "link", "pipe"],
)  # fmt: skip
def test_whatever_changes_is_seen(run, change):
    if change == "report":
        (run / "report.html").write_text("edited by hand")
    elif change == "no report":
        (run / "report.html").unlink()
    elif change == "card":
        (run / "cards" / "net.md").write_text("")
    elif change == "another card":
        (run / "cards" / "other.md").write_text("")
    elif change == "unit":
        (run / "units" / "a.json").write_text("another record")
    elif change == "same size":
        before = (run / "plan.json").stat()
        (run / "plan.json").write_text("nalp.json")
        os.utime(run / "plan.json", ns=(before.st_atime_ns, before.st_mtime_ns))
    elif change == "more":
        (run / "units" / "b.json").write_text("")
    elif change == "less":
        (run / "data" / "x.bin").unlink()
    elif change == "no mark":
        (run / MADE).unlink()
    elif change == "broken mark":
        (run / MADE).write_text("{")
    elif change == "mark of another kind":
        (run / MADE).write_text("[1]")
    elif change == "name":
        run = run.rename(run.with_name("other"))
    elif change == "link":
        (run / "data" / "y.bin").symlink_to("x.bin")
    else:
        os.mkfifo(run / "data" / "pipe")
    assert MadeReports(run).paths() is None


def test_other_code_and_other_libraries_make_other_reports(run, tmp_path, monkeypatch):
    lines = list(made_reports._code())
    assert any("templates/page.html.jinja" in line for line in lines)
    assert {"robench", "attacks", "defenses", "model_zoo", "reports"} <= {
        part for line in lines for part in line.split(" ")[0].split("/")
    }
    assert any(line.startswith("matplotlib ") for line in lines)
    monkeypatch.setattr(made_reports, "_code", lambda: [*lines[:-1], "numpy 9"])
    assert MadeReports(run).paths() is None


def test_a_large_folder_is_not_hashed_and_keeps_no_mark(run, monkeypatch):
    monkeypatch.setattr(made_reports, "MOST", 10)
    memory = MadeReports(run)
    assert memory.paths() is None
    memory.note([run / "report.html"])
    assert not (run / MADE).exists()


def test_a_folder_that_cannot_be_read_is_no_error(tmp_path):
    memory = MadeReports(tmp_path / "none")
    assert memory.paths() is None
    memory.note([tmp_path / "none" / "report.html"])
    assert not (tmp_path / "none").exists()


def test_what_changed_while_reports_were_made_is_seen_next_time(run):
    memory = MadeReports(run)
    (run / "units" / "late.json").write_text("written by another process")
    memory.note([run / "report.html"])
    assert MadeReports(run).paths() is None
    assert set(json.loads((run / MADE).read_text())) == {"of", "reports"}
