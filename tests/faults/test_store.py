"""A run folder loses nothing and never lies: damage, kills, other plans, two writers, missing parts."""

import contextlib
import csv
import dataclasses
import io
import json
import os
import shutil
import socket
import threading

import pytest
from typer.testing import CliRunner

from reports.badge.svg import Badge
from reports.board.leaderboard import boards
from reports.cards.card import Cards
from reports.html.page import HTML
from reports.text.csv import CSV
from reports.text.json import JSON
from reports.text.latex import LaTeX
from reports.text.markdown import Markdown
from robench.cli import app
from robench.errors import StorageError
from robench.plan import config
from robench.plan.spec import content_hash, to_json
from robench.record import files
from robench.record.store import Store
from robench.run.execute import execute
from robench.run.keeper import FolderKeeper
from robench.run.progress import Quiet
from robench.run.settings import Environment
from tests.robench.record.test_store import record

PLAN = """
name: small
dataset: {name: digits, limit: 120}
shard: 60
models:
  - {name: net, architecture: digits_cnn}
  - {name: other, architecture: digits_cnn, buffer: 8}
threats:
  - {norm: Linf, eps: 0.1, attacks: [fgsm, {pgd: {steps: 2}}]}
"""


class Told(Quiet):
    """A reporter that remembers what it was told of damage."""

    def __init__(self):
        self.texts = []

    def finding(self, text):
        self.texts.append(text)


def parsed(text=PLAN):
    return config.parse(text, file=config.locate("digits").parent / "plan.yaml", overrides=None)


def go(out, text=PLAN, reporter=None, **options):
    environment = Environment(device="cpu", **options)
    reporter = reporter or Quiet()
    return execute(parsed(text), out, config_text=text, environment=environment, reporter=reporter)


def robench(*words):
    outcome = CliRunner().invoke(app, [str(word) for word in words], prog_name="robench")
    assert "Traceback" not in outcome.output
    assert outcome.exception is None or isinstance(outcome.exception, SystemExit)
    return outcome


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A finished run, which no test may change."""
    out = tmp_path_factory.mktemp("whole")
    outcome = go(out)
    assert (outcome.finished, outcome.failed) == (2 * (2 + 2 * 2 * 2), 0)
    CSV()(Store(out).read_records(), out)
    HTML()(Store(out).read_records(), out)
    return out


@pytest.fixture
def run(whole, tmp_path):
    return shutil.copytree(whole, tmp_path / "run")


def one_of(run, label="pgd"):
    """Return the path of a record of an attack."""
    store = Store(run)
    return store.unit(next(r.key for r in store.read_records() if r.attack.label == label))


def half(path):
    path.write_bytes(path.read_bytes()[:300])


def brackets(path):
    path.write_text("[" * 100_000)


def wrong_type(path):
    data = json.loads(path.read_text())
    data.pop("sha256")
    data["columns"]["l2"] = "far"
    path.write_text(json.dumps(data))


def one_bit(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def fifo(path):
    path.unlink()
    os.mkfifo(path)


def folder(path):
    path.unlink()
    path.mkdir()


def device(path):
    path.unlink()
    path.symlink_to("/dev/zero")


def endless(path):
    path.unlink()
    path.symlink_to(path)


def listening(path):
    path.unlink()
    here = os.getcwd()
    os.chdir(path.parent)  # the name of a socket must be short
    try:
        with socket.socket(socket.AF_UNIX) as one:
            one.bind(path.name)
    finally:
        os.chdir(here)


def huge(path):
    with path.open("wb") as stream:
        stream.truncate(2**40)


def closed(path):
    path.chmod(0)
    if os.access(path, os.R_OK):
        pytest.skip("this user may read everything")


DAMAGES = [half, brackets, wrong_type, one_bit, fifo, folder, device, endless, listening, huge, closed]


@pytest.mark.thorough
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_record_is_named_left_out_and_left_alone(run, damage):
    path = one_of(run)
    damage(path)
    before = os.lstat(path)
    outcome = robench("leaderboard", run)
    assert outcome.exit_code == 0, outcome.output
    assert path.name in outcome.stderr
    assert "partial" in outcome.stdout
    after = os.lstat(path)
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert not (run / "damaged").exists()


@pytest.mark.thorough
def test_every_command_goes_on_without_a_damaged_record(run):
    path = one_of(run)
    fifo(path)
    before = {one: os.lstat(one).st_mtime_ns for one in run.rglob("*")}
    for words in (
        ("leaderboard", run, "--format", "csv"), ("show", run), ("cite", run),
        ("report", run, "-o", run.parent / "page.html"), ("compare", run, run),
        ("plot", "tradeoff", run, "-o", run.parent / "t.svg"), ("table", run, "--paper", "6"),
        ("badge", run, "--model", "net", "-o", run.parent / "b.svg"),
    ):  # fmt: skip
        outcome = robench(*words)
        assert outcome.exit_code == 0, (words, outcome.output)
        assert path.name in outcome.stderr, words
    assert "partial" in robench("compare", run, run).stdout
    check = robench("verify", run, "--sample", "1")
    assert check.exit_code == 1
    assert path.name in check.output
    assert {one: os.lstat(one).st_mtime_ns for one in run.rglob("*")} == before


@pytest.mark.thorough
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_run_sets_a_damaged_record_aside_and_makes_it_again(run, damage):
    path, reporter = one_of(run), Told()
    good = Store(run).read(path.stem)
    damage(path)
    inode = os.lstat(path).st_ino
    outcome = go(run, reporter=reporter)
    assert (outcome.finished, outcome.failed) == (1, 0)
    assert Store(run).read(path.stem).columns == good.columns
    (aside,) = (run / "damaged").iterdir()
    assert os.lstat(aside).st_ino == inode
    assert any(path.name in text for text in reporter.texts)
    assert not any(row.partial for board in boards(Store(run).read_records()) for row in board.rows)


@pytest.mark.thorough
@pytest.mark.parametrize("kind", ["adv", "data", "geometry"])
@pytest.mark.parametrize("damage", [one_bit, fifo, folder])
def test_a_run_sets_other_damaged_files_aside_too(run, kind, damage):
    path, reporter = sorted((run / kind).iterdir())[0], Told()
    unit = one_of(run)
    if kind == "adv":
        path = Store(run).adv(Store(run).read(unit.stem).provenance.crafted)
        unit.unlink()  # so that the images are asked for
    damage(path)
    robench("report", run, "-o", run.parent / "page.html")
    assert not (run / "damaged").exists()
    outcome = go(run, reporter=reporter)
    assert outcome.failed == 0
    assert any(f"{kind}/{path.name}" in text for text in reporter.texts)
    assert len(list((run / "damaged").iterdir())) == 1
    assert path.is_file()


@pytest.mark.parametrize("name", ["run.json", "plan.json", "finished.txt"])
@pytest.mark.parametrize(
    "damage", [half, brackets, fifo, folder, device, "[1]", "null", '{"units": 3, "models": 4}']
)
def test_damaged_files_of_the_run_are_named_and_set_aside(run, name, damage):
    path, reporter = run / name, Told()
    if isinstance(damage, str):
        path.write_text(damage)
    else:
        damage(path)
    if not (name == "finished.txt" and damage is half):  # half of a list of lines is a list of lines
        outcome = robench("leaderboard", run)
        assert outcome.exit_code == 0
        assert name in outcome.stderr
        assert ("partial" in outcome.stdout) == (name == "plan.json")
    go(run, reporter=reporter)
    records, faults = Store(run).readable()
    assert (len(records), faults) == (20, [])
    assert not any(row.partial for row in boards(records)[0].rows)
    assert json.loads((run / "plan.json").read_text())["name"] == "small"


def test_a_name_that_is_no_key_is_named_and_set_aside(run):
    stray, reporter = run / "units" / "a b\x1b[31m.json", Told()
    stray.write_text("{}")
    outcome = robench("leaderboard", run)
    assert outcome.exit_code == 0
    assert "a b\\x1b[31m.json" in outcome.stderr
    assert "\x1b[31m" not in outcome.output
    go(run, reporter=reporter)
    assert not stray.exists()
    assert len(list((run / "damaged").iterdir())) == 1


def test_a_file_in_place_of_a_folder_is_set_aside(run):
    shutil.rmtree(run / "errors")
    (run / "errors").write_text("x")
    go(run)
    assert (run / "errors").is_dir()
    assert [path.read_text() for path in (run / "damaged").iterdir()] == ["x"]


def without(run, is_loss):
    """Take records out of a folder, and out of what it lists, as if they had never been made."""
    store = Store(run)
    facts = json.loads((run / "run.json").read_text())
    for one in store.read_records():
        if is_loss(one):
            store.unit(one.key).unlink()
            facts["units"].remove(one.key)
    (run / "run.json").write_text(json.dumps(facts))


LOST = {
    "a shard": (lambda r: r.dataset.digest == LAST[0], "clean 60 of 120 images"),
    "an attack on every model": (lambda r: r.attack.label == "pgd", "pgd 0 of 120 images"),
    "every attack": (lambda r: not r.attack.is_clean, "fgsm 0 of 120 images"),
    "an attack from one source": (
        lambda r: r.attack.label == "pgd" and (r.source.name, r.target.name) == ("other", "net"),
        "pgd crafted on other",
    ),
    "a model": (lambda r: "other" in (r.target.name, r.source.name), "every unit of the model"),
}
LAST = []


@pytest.mark.thorough
@pytest.mark.parametrize("what", LOST)
def test_what_the_plan_asks_for_and_is_not_there_is_said_everywhere(run, what):
    is_loss, message = LOST[what]
    LAST[:] = [Store(run).read_records()[-1].dataset.digest]
    without(run, is_loss)
    records = Store(run).read_records()
    (board,) = boards(records)
    assert board.norm == "Linf"
    assert {row.model for row in board.rows} == {"net", "other"}
    partial = [row for row in board.rows if row.partial]
    assert all(row.rank is None for row in partial)
    assert any(message in text for row in partial for text in row.missing), [
        row.missing for row in board.rows
    ]
    name = next(row.model for row in partial if any(message in text for text in row.missing))
    text = Markdown().render(records)
    assert message in text.replace("\\", "")
    assert message in LaTeX().render(records)
    assert any(
        row["model"] == name and row["partial"] == "true" and message in row["missing"]
        for row in csv.DictReader(io.StringIO(CSV().render(records)))
    )
    rows = json.loads(JSON().render(records))["boards"][0]["rows"]
    assert any(message in part for row in rows if row["model"] == name for part in row["missing"])
    assert message in HTML().render_run(run)
    assert "partial" in Badge(model=name).render(records)
    assert message in Badge(model=name).render(records)
    if what != "a model":
        assert message in Cards().render(records)
    screen = robench("leaderboard", run)
    assert "partial" in screen.stdout
    comparison = robench("compare", run, run)
    assert message in comparison.stdout
    assert any(message in t for d in json.loads(robench("compare", run, run, "--format", "json").stdout)
               for t in d["second_lacks"]) or what in {"a model", "every attack"}  # fmt: skip
    assert robench("compare", run, run, "--max-drop", "5").exit_code == 1
    for figure in ("tradeoff", "transfer"):
        robench("plot", figure, run, "-o", run.parent / "f.svg")
    robench("table", run, "--paper", "6")


@pytest.mark.thorough
def test_an_interrupted_run_is_partial_and_the_finished_one_is_ranked(tmp_path, monkeypatch):
    keep, countdown = FolderKeeper.keep_record, [7]

    def stopping(self, one):
        countdown[0] -= 1
        if not countdown[0]:
            raise KeyboardInterrupt
        keep(self, one)

    monkeypatch.setattr(FolderKeeper, "keep_record", stopping)
    with pytest.raises(KeyboardInterrupt):
        go(tmp_path)
    monkeypatch.undo()
    store = Store(tmp_path)
    assert store.facts()[0]["status"] == "interrupted"
    assert len(store.planned()) == 6
    assert all(row.partial and row.rank is None for row in boards(store.read_records())[0].rows)
    outcome = go(tmp_path)
    assert (outcome.cached, outcome.finished) == (6, 14)
    assert not any(row.partial for row in boards(store.read_records())[0].rows)


def test_records_without_a_folder_are_complete_if_they_agree(whole):
    bare = [dataclasses.replace(r, planned=None) for r in Store(whole).read_records()]
    clean = [r for r in bare if r.attack.is_clean]
    assert not any(row.partial for some in (bare, clean) for board in boards(some) for row in board.rows)


class Killed(BaseException):
    """Stands for the end of the process."""


def killed_at(monkeypatch, step):
    """Let the process end at the so many-th change of a file; return how many are left."""
    countdown = [step]

    def struck(real):
        def do(*arguments, **keywords):
            countdown[0] -= 1
            if countdown[0] == 0:
                raise Killed
            if countdown[0] < 0:
                return None  # the process is gone: nothing it does has an effect
            return real(*arguments, **keywords)

        return do

    for name in ("replace", "link", "rename", "unlink", "write"):
        monkeypatch.setattr(os, name, struck(getattr(os, name)))
    return countdown


OTHER = PLAN.replace("0.1", "0.3")


@pytest.mark.thorough
@pytest.mark.parametrize("older", [False, True], ids=["", "of an earlier version"])
def test_whenever_it_is_killed_a_folder_shows_what_belongs_to_its_plan(whole, tmp_path, monkeypatch, older):
    plan = to_json(parsed(OTHER))
    for step in range(1, 200):
        run = shutil.copytree(whole, tmp_path / str(step))
        if older:
            (run / "finished.txt").unlink()
            facts = json.loads((run / "run.json").read_text())
            facts.pop("plan")
            (run / "run.json").write_text(json.dumps(facts))
        with monkeypatch.context() as patch:
            countdown = killed_at(patch, step)
            with contextlib.suppress(Killed):
                Store(run).begin(plan, OTHER)
        eps = json.loads((run / "plan.json").read_text())["threats"][0]["eps"]
        radii = {board.eps for board in boards(Store(run).readable()[0])}
        assert radii <= {eps}, step
        leftovers = [
            name for name in ("leaderboard.csv", "report.html", "measurements.csv") if (run / name).exists()
        ]
        assert eps == 0.1 or not leftovers, step
        if (run / "config.yaml").exists():
            assert f"eps: {eps}" in (run / "config.yaml").read_text(), step
        if countdown[0] > 0:
            break
    else:
        pytest.fail("it never came to its end")
    assert step > 5
    assert (eps, radii) == (0.3, set())
    assert go(run).cached == 20  # nothing of the plan before was lost
    assert {board.eps for board in boards(Store(run).read_records())} == {0.1}


def test_a_kill_while_the_other_plan_is_done_shows_its_part_only(run, monkeypatch):
    keep, countdown = FolderKeeper.keep_record, [5]

    def stopping(self, one):
        countdown[0] -= 1
        if not countdown[0]:
            raise Killed
        keep(self, one)

    monkeypatch.setattr(FolderKeeper, "keep_record", stopping)
    real = Store.write_json

    def write_json(self, name, data):
        if data.get("status") != "interrupted":  # what a killed process can no longer write
            real(self, name, data)

    monkeypatch.setattr(Store, "write_json", write_json)
    with pytest.raises(Killed):
        go(run, OTHER)
    monkeypatch.undo()
    assert Store(run).facts()[0]["status"] == "running"
    (board,) = boards(Store(run).read_records())
    assert (board.eps, {row.partial for row in board.rows}) == (0.3, {True})
    screen = robench("leaderboard", run).stdout
    assert "Linf 0.3" in screen
    assert "Linf 0.1" not in screen


def test_the_journal_holds_the_hash_of_the_plan_and_whole_lines(whole, run):
    plan = to_json(parsed())
    lines = (run / "finished.txt").read_text().splitlines()
    assert lines[0] == content_hash(plan)
    assert sorted(lines[1:]) == Store(run).keys()
    (run / "run.json").unlink()
    assert sorted(Store(run).planned()) == Store(run).keys()
    with (run / "finished.txt").open("a") as stream:
        stream.write("abc")  # a line that a kill cut off
    assert "abc" not in Store(run).planned()
    store = Store(run)
    store.begin(plan, PLAN)
    store.note("abcd")
    store.note("abcd")
    assert store.planned()[-2:] == [*lines[-1:], "abcd"]


def test_a_note_without_a_plan_is_refused(tmp_path):
    store = Store(tmp_path)
    store.prepare()
    with pytest.raises(StorageError, match=r"finished\.txt"):
        store.note("k1")


def test_of_two_writers_of_one_record_the_first_wins(tmp_path):
    store = Store(tmp_path)
    store.prepare()
    start = threading.Barrier(8)

    def write(name):
        start.wait()
        Store(tmp_path).write(record(name=name))

    writers = [threading.Thread(target=write, args=(f"n{i}",)) for i in range(8)]
    for one in writers:
        one.start()
    for one in writers:
        one.join()
    first = store.read("k1").target.name
    store.write(record(name="late"))
    assert store.read("k1").target.name == first
    store.write(record(name="late"), replace=True)
    assert store.read("k1").target.name == "late"
    assert [path.name for path in (tmp_path / "units").iterdir()] == ["k1.json"]


@pytest.mark.parametrize("replace", [False, True])
def test_a_damaged_record_does_not_keep_a_writer_out(tmp_path, replace):
    store = Store(tmp_path)
    store.prepare()
    store.unit("k1").write_text("{")
    store.write(record(), replace=replace)
    assert store.read("k1") == record()
    assert [path.read_text() for path in (tmp_path / "damaged").iterdir()] == ["{"]


def test_a_reader_tells_path_limit_and_size(tmp_path):
    path = tmp_path / "f"
    path.write_bytes(b"12345")
    assert files.read_regular(path, most=5) == b"12345"
    with pytest.raises(StorageError, match=r"f: expected a readable file of at most 4 bytes, got 5 bytes"):
        files.read_regular(path, most=4)
    assert files.read_regular(tmp_path / "absent", most=5) is None
    with pytest.raises(StorageError, match="got a folder"):
        files.read_regular(tmp_path, most=5)


def test_a_run_of_an_earlier_version_is_read_and_resumed(run):
    for path in (run / "units").iterdir():
        data = json.loads(path.read_text())
        data.pop("sha256")
        path.write_text(json.dumps(data) + "\n")
    (run / "finished.txt").unlink()
    facts = json.loads((run / "run.json").read_text())
    facts.pop("plan")
    (run / "run.json").write_text(json.dumps(facts))
    assert len(Store(run).read_records()) == 20
    assert not any(row.partial for row in boards(Store(run).read_records())[0].rows)
    assert go(run).cached == 20
    (run / "plan.json").unlink()
    assert robench("leaderboard", run).exit_code == 0


def test_a_small_file_takes_little_memory_whatever_its_limit(tmp_path):
    (tmp_path / "f").write_bytes(b"1")
    assert files.read_regular(tmp_path / "f", most=2**60) == b"1"
