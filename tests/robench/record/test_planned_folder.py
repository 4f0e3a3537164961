"""A run folder and its plan: what begins anew, what is kept, and what is told of files that say nonsense."""

import hashlib
import json
import os

import pytest

from robench.errors import StorageError
from robench.plan.spec import content_hash
from robench.record import folder
from robench.record.folder import PARTS
from robench.record.journal import JOURNAL, append_key, derived_files, read_journal, write_journal
from robench.record.planned import planned_run
from robench.record.store import Store, is_run
from robench.record.threat_summary import ThreatSummary
from tests.robench.record.test_store import record

ONE = {"name": "one", "models": [{"name": "m"}], "threats": []}
TWO = {**ONE, "models": [{"name": "n"}]}


@pytest.fixture
def told():
    return []


@pytest.fixture
def store(tmp_path, told):
    folder = Store(tmp_path / "run", told=told.append)
    folder.prepare()
    return folder


def finished(store, plan, *keys, status="finished"):
    """Begin a run and end it with some finished units."""
    store.begin(plan, "text")
    for key in keys:
        store.write(record(key))
        store.note(key)
    store.write_json("run.json", {"status": status, "units": list(keys), "plan": content_hash(plan)})


# The journal


def test_a_journal_says_what_it_was_told(tmp_path):
    assert read_journal(tmp_path) == ("", [])
    write_journal(tmp_path, "0" * 32, ["a", "b"])
    append_key(tmp_path, "c")
    assert read_journal(tmp_path) == ("0" * 32, ["a", "b", "c"])
    descriptors = len(os.listdir("/proc/self/fd"))
    append_key(tmp_path, "d")
    assert len(os.listdir("/proc/self/fd")) == descriptors


def test_a_line_without_an_end_or_that_is_no_key_does_not_count(tmp_path):
    text = f"{'f' * 32}\na\n../b\na\n\n{'k' * 128}\n{'k' * 129}\n\xff\nlast"
    (tmp_path / JOURNAL).write_text(text, "latin-1")
    assert read_journal(tmp_path) == ("f" * 32, ["a", "k" * 128])


@pytest.mark.parametrize("text", ["", "\n", "g" * 32 + "\n", "0" * 31 + "\n", "0" * 33 + "\n", "0" * 32])
def test_a_journal_without_the_hash_of_a_plan_is_none(tmp_path, text):
    (tmp_path / JOURNAL).write_text(text)
    with pytest.raises(StorageError, match="the hash of a plan in the first line"):
        read_journal(tmp_path)


def test_a_line_that_a_full_disk_cut_is_no_key_and_spoils_no_other(tmp_path, monkeypatch):
    write_journal(tmp_path, "0" * 32, ["a"])
    write = os.write
    monkeypatch.setattr(os, "write", lambda handle, data: write(handle, data[:3]))  # what fits
    with pytest.raises(StorageError, match="to add a line to the journal, got No space left"):
        append_key(tmp_path, "bbbbbb")
    monkeypatch.undo()
    assert read_journal(tmp_path)[1] == ["a"]
    append_key(tmp_path, "c")
    append_key(tmp_path, "d")
    assert read_journal(tmp_path)[1] == ["a", "c", "d"]
    assert (tmp_path / JOURNAL).read_text().splitlines()[1:] == ["a", "bbb ", "c", "d"]


def test_a_line_is_added_only_to_a_journal(tmp_path):
    with pytest.raises(StorageError, match="to add a line to the journal, got No such file"):
        append_key(tmp_path, "a")
    (tmp_path / JOURNAL).mkdir()
    with pytest.raises(StorageError, match="to add a line to the journal, got Is a directory"):
        append_key(tmp_path, "a")


def test_files_made_from_others_are_those_that_are_there(tmp_path):
    assert list(derived_files(tmp_path)) == []
    (tmp_path / "report.html").write_text("")
    (tmp_path / "badge.svg").symlink_to("nothing")
    (tmp_path / "config.yaml").write_text("")
    (tmp_path / "cards").mkdir()
    (tmp_path / "cards" / "a.md").write_text("")
    (tmp_path / "cards" / "a.txt").write_text("")
    assert {path.name for path in derived_files(tmp_path)} == {"report.html", "badge.svg", "a.md"}


# What a folder is, and what is set aside


def test_a_run_folder_has_any_of_these(tmp_path):
    assert not is_run(tmp_path)
    for name in ("run.json", "plan.json", JOURNAL):
        folder = tmp_path / name.replace(".", "-")
        folder.mkdir()
        (folder / name).symlink_to("nothing")
        assert is_run(folder)
    (tmp_path / "units").write_text("")
    assert not is_run(tmp_path)


def test_every_kind_of_file_has_its_place(tmp_path):
    store = Store(tmp_path)
    places = {
        "units/k.json": store.unit, "adv/k.safetensors": store.adv, "data/k.safetensors": store.images,
        "geometry/k.safetensors": store.snapshot, "models/k": store.model, "errors/k.json": store.error,
    }  # fmt: skip
    for name, place in places.items():
        assert place("k") == tmp_path / name
        for hostile in ("../k", "", "a/b", "k" * 129, "-k"):
            with pytest.raises(StorageError, match="a unit's key of letters and digits"):
                place(hostile)


def test_what_lies_in_the_place_of_a_part_is_set_aside(tmp_path, told):
    root = tmp_path / "run"
    root.mkdir()
    (root / "units").write_text("no folder")
    (root / "errors").symlink_to("nothing")
    (root / ".lock").mkdir()
    store = Store(root, told=told.append)
    store.prepare()
    assert all((root / part).is_dir() for part in PARTS)
    assert not os.path.lexists(root / ".lock")
    aside = sorted(path.name.rsplit(".", 1)[0] for path in (root / "damaged").iterdir())
    assert aside == [".lock", "errors", "units"]
    assert len(told) == 3
    assert told[0].startswith("units is damaged (expected a folder); moved to damaged/units.")
    before = list(told)
    store.prepare()
    assert told == before


def test_a_record_whose_name_is_no_key_is_set_aside(store, told):
    for name in ("a b.json", ".hidden.json", "note.txt", "good.json"):
        (store.root / "units" / name).write_text("{}")
    assert store.keys() == ["good"]
    assert [path.name for path in store.strays()] == ["a b.json"]
    store.prepare()
    assert store.strays() == []
    assert len(told) == 1
    assert (store.root / "units" / ".hidden.json").exists()


def test_what_another_process_moved_before_is_left(store, told):
    aside = store.set_aside(store.root / "units" / "gone.json", "why")
    assert aside.parent == store.root / "damaged"
    assert told == []
    there = store.root / "units" / "k.json"
    there.write_text("half")
    assert store.set_aside(there, "why").read_text() == "half"
    assert not there.exists()


def test_a_folder_that_cannot_be_listed_is_named(store, monkeypatch):
    def refused(_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(folder.os, "listdir", refused)
    with pytest.raises(StorageError, match="a folder that can be listed, got Permission denied"):
        store.keys()


# What run.json says


@pytest.mark.parametrize(
    ("field", "value"),
    [("name", 1), ("status", None), ("units", {}), ("expected", "2"), ("expected", True),
     ("failed_models", []), ("geometry", "g"), ("failed_jobs", 0), ("plan", ["x"])],
)  # fmt: skip
def test_a_fact_of_a_wrong_type_is_left_out_and_named(store, field, value):
    store.write_json("run.json", {"name": "x", "status": "finished", field: value})
    facts, (fault,) = store.facts()
    assert field not in facts
    assert (fault.about, fault.text) == ("run.json", f"a wrong type in the field `{field}`")
    assert facts == {name: text for name, text in (("name", "x"), ("status", "finished")) if name != field}


def test_what_is_no_key_is_left_out_and_named_ten_times_at_most(store):
    store.write_json("run.json", {"units": ["a", "../x", 3, "b"], "geometry": [f"{i}/" for i in range(12)]})
    facts, faults = store.facts()
    assert facts == {"units": ["a", "b"], "geometry": []}
    assert sum("`geometry`" in fault.text for fault in faults) == 10
    assert sorted(fault.text for fault in faults if "`units`" in fault.text) == [
        "no key in `units`: '../x'", "no key in `units`: 3",
    ]  # fmt: skip


@pytest.mark.parametrize(("text", "fault"), [
    ("[]", "expected an object, got a list"), ("null", "expected an object, got null"),
    ("{", "expected readable JSON"),
])  # fmt: skip
def test_a_run_json_that_is_none_says_nothing(store, text, fault):
    (store.root / "run.json").write_text(text)
    facts, (problem,) = store.facts()
    assert facts == {}
    assert problem.text.startswith(fault)


def test_no_run_json_is_no_fault(store):
    assert store.facts() == ({}, [])


# Which units are of the plan


def test_a_finished_run_shows_what_it_lists(store):
    finished(store, ONE, "k1", "k2")
    append_key(store.root, "k3")
    assert store.planned() == ["k1", "k2"]


@pytest.mark.parametrize("status", ["running", "interrupted"])
def test_a_run_that_was_killed_shows_its_journal(store, status):
    finished(store, ONE, "k1", status=status)
    append_key(store.root, "k3")
    assert store.planned() == ["k1", "k3"]
    (store.root / JOURNAL).unlink()
    assert store.planned() == ["k1"]
    write_journal(store.root, content_hash(TWO), ["k9"])
    assert store.planned() == ["k1"]


def test_a_list_or_a_journal_of_another_plan_shows_nothing(store):
    finished(store, ONE, "k1")
    store.write_json("plan.json", TWO)
    assert store.planned() == []
    (store.root / JOURNAL).unlink()
    assert store.planned() == []
    (store.root / "run.json").unlink()
    write_journal(store.root, content_hash(ONE), ["k1"])
    assert store.planned() == []


def test_where_the_plan_is_lost_the_last_run_is_shown(store):
    finished(store, ONE, "k1")
    (store.root / "plan.json").unlink()
    assert store.plan_digest() is None
    assert store.planned() == ["k1"]
    store.write_json("run.json", {"status": "running", "plan": content_hash(ONE), "units": []})
    assert store.planned() == ["k1"]  # of the journal


def test_a_folder_of_an_earlier_version_shows_what_it_lists_or_all(store):
    for key in ("k1", "k2"):
        store.write(record(key))
    assert store.planned() == ["k1", "k2"]
    store.write_json("run.json", {"units": ["k2"]})
    assert store.planned() == ["k2"]
    assert store.plan() == (None, [])


# A plan begins


def test_the_same_plan_goes_on(store):
    finished(store, ONE, "k1")
    (store.root / "report.html").write_text("")
    facts = store.read_json("run.json")
    again = Store(store.root)
    again.begin(ONE, "another text")
    assert (store.root / "report.html").exists()
    assert (store.root / "config.yaml").read_text() == "another text"
    assert again.read_json("run.json") == facts
    assert read_journal(store.root) == (content_hash(ONE), ["k1"])
    again.note("k1")
    again.note("k2")
    again.note("k2")
    assert (store.root / JOURNAL).read_text().split() == [content_hash(ONE), "k1", "k2"]


def test_another_plan_begins_anew_and_the_records_stay(store):
    finished(store, ONE, "k1")
    (store.root / "report.html").write_text("")
    (store.root / "leaderboard.csv").mkdir()
    store.begin(TWO, "two")
    assert not os.path.lexists(store.root / "report.html")
    assert not os.path.lexists(store.root / "leaderboard.csv")
    assert store.read_json("run.json") == {
        "name": "one", "status": "running", "units": [], "plan": content_hash(TWO),
    }  # fmt: skip
    assert read_journal(store.root) == (content_hash(TWO), [])
    assert store.read_json("plan.json") == TWO
    assert store.keys() == ["k1"]
    assert store.planned() == []


def test_a_configuration_never_stands_beside_the_plan_of_another(store, monkeypatch):
    finished(store, ONE, "k1")

    def killed(name, text):
        raise KeyboardInterrupt

    again = Store(store.root)
    write = again.write_text
    monkeypatch.setattr(again, "write_text", lambda n, t: killed(n, t) if n == "config.yaml" else write(n, t))
    with pytest.raises(KeyboardInterrupt):
        again.begin(TWO, "two")
    assert again.read_json("plan.json") == TWO
    assert not (store.root / "config.yaml").exists()


def test_what_cannot_be_deleted_is_named(store, monkeypatch):
    finished(store, ONE, "k1")
    (store.root / "report.html").write_text("")

    def refused(path, missing_ok=False):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(type(store.root), "unlink", refused)
    with pytest.raises(StorageError, match=r"report\.html: expected to delete the file, got Perm"):
        store.begin(TWO, "two")
    assert store.read_json("plan.json") == ONE


def test_where_the_journal_is_lost_the_units_of_the_last_run_are_noted_again(store):
    finished(store, ONE, "k1", "k2")
    (store.root / JOURNAL).unlink()
    store.begin(ONE, "text")
    assert read_journal(store.root) == (content_hash(ONE), ["k1", "k2"])


def test_a_run_of_an_earlier_version_is_not_taken_for_this_plan(store):
    store.write(record("k1"))
    store.write_json("plan.json", ONE)
    store.write_json("run.json", {"status": "finished", "units": ["k1"]})
    store.begin(ONE, "text")
    assert store.planned() == []


@pytest.mark.parametrize("name", ["run.json", "plan.json", JOURNAL, "config.yaml"])
@pytest.mark.parametrize("what", ["folder", "link to nothing", "nonsense"])
def test_what_lies_in_the_place_of_an_own_file_is_set_aside(store, told, name, what):
    finished(store, ONE, "k1")
    path = store.root / name
    path.unlink()
    match what:
        case "folder":
            path.mkdir()
        case "link to nothing":
            path.symlink_to("nothing")
        case "nonsense":
            path.write_text("[]\n")
    again = Store(store.root, told=told.append)
    again.begin(ONE, "text")
    assert [path.name for path in store.root.iterdir() if path.is_symlink()] == []
    for own in ("run.json", "plan.json"):
        assert isinstance(again.read_json(own), dict)
    assert read_journal(store.root)[0] == content_hash(ONE)
    assert (store.root / "config.yaml").read_text() == "text"
    names = [path.name for path in (store.root / "damaged").glob("*")]
    if what == "nonsense" and name == "config.yaml":  # any text is one
        assert names == []
    else:
        assert [one.rsplit(".", 1)[0] for one in names] == [name]


# What the plan asks for


def test_a_lost_plan_is_told(store):
    finished(store, ONE, "k1")
    assert store.plan()[1] == []
    assert store.plan()[0].models == ("m",)
    for text, why in (("[]", "not the plan of a run"), ("{", "readable JSON"), (None, "missing")):
        (store.root / "plan.json").unlink()
        if text is not None:
            (store.root / "plan.json").write_text(text)
        summary, (fault,) = store.plan()
        assert why in summary.fault
        assert fault.about == "plan.json"
        assert fault.text.endswith("what is missing of the run cannot be told")
        (store.root / "plan.json").touch()


THREAT = {"norm": "L2", "eps": "inf", "goal": "targeted", "knowledge": ["weights"], "budget": 5,
          "attacks": [{"label": "a"}, {"label": "b"}]}  # fmt: skip


def test_a_plan_is_read_as_far_as_a_board_shows_it():
    summary = planned_run(
        {**ONE, "threats": [THREAT, {"norm": "Linf", "eps": 0.5, "eps_text": "1/2"}], "seed": 3}
    )
    assert summary.models == ("m",)
    assert summary.transfer
    assert summary.seed == "3"
    first, second = summary.threats
    assert first.threat == ThreatSummary("L2", float("inf"), "targeted", (0.0, 1.0), ("weights",), 5)
    assert (first.eps_text, first.attacks) == ("inf", ("a", "b"))
    assert (second.eps_text, second.attacks, second.threat.budget) == ("1/2", (), None)
    assert not planned_run({**ONE, "transfer": False}).transfer


@pytest.mark.parametrize(
    "plan",
    [None, [], {}, {"models": {}}, {"models": [{}]}, {"models": [{"name": 1}]}, {**ONE, "threats": {}},
     {**ONE, "transfer": 1}, *({**ONE, "threats": [{**THREAT, **change}]} for change in (
         {"norm": 2}, {"eps": "far"}, {"eps": float("nan")}, {"budget": 1.5}, {"budget": True},
         {"goal": None}, {"knowledge": "weights"}, {"eps_text": 1}, {"attacks": [{}]},
         {"attacks": {"label": "a"}}, {"eps": 10**400}))],
)  # fmt: skip
def test_what_is_no_plan_has_a_fault(plan):
    summary = planned_run(plan)
    assert summary.fault.startswith("not the plan of a run (")
    assert len(summary.fault) < 130
    assert summary.models == ()


def test_attacks_are_those_of_the_threat_and_each_once():
    more = {**THREAT, "attacks": [{"label": "b"}, {"label": "c"}]}
    summary = planned_run({**ONE, "threats": [THREAT, more, {**THREAT, "budget": 6}]})
    threat = summary.threats[0].threat
    assert summary.attacks(threat) == ("a", "b", "c")
    assert summary.attacks(threat._replace(knowledge=None)) == ("a", "b", "c")  # an old record does not tell
    for other in (
        {"norm": "L1"}, {"eps": 1.0}, {"goal": "untargeted"}, {"budget": None}, {"knowledge": ()},
    ):  # fmt: skip
        assert summary.attacks(threat._replace(**other)) == ()
    assert summary.attacks(threat._replace(bounds=None)) == ("a", "b", "c")  # every plan has one box


def test_bounds_are_those_of_the_threat_and_of_the_model_and_each_once():
    bounds = [{"label": "crown"}, {"label": "bab", "models": ["m", "n"]}, {"label": "crown"}]
    summary = planned_run({**ONE, "threats": [{**THREAT, "bounds": bounds}, {**THREAT, "budget": 6}]})
    threat = summary.threats[0].threat
    assert summary.bounds(threat, "m") == summary.bounds(threat, "n") == ("crown", "bab")
    assert summary.bounds(threat, "other") == ("crown",)
    assert summary.bounds(threat._replace(budget=6), "m") == ()


def test_what_a_folder_says_of_itself_is_text(store):
    store.write_json("a.json", {"x": [1]})
    assert (store.root / "a.json").read_text() == json.dumps({"x": [1]}, indent=1) + "\n"
    with pytest.raises(ValueError, match="JSON"):
        store.write_json("a.json", float("nan"))


# What a store tells of its records


def test_records_carry_the_plan_and_the_failures_of_its_run(store):
    finished(store, ONE, "k1", "k2")
    facts = store.read_json("run.json")
    store.write_json("run.json", {**facts, "failed_jobs": {"a": ["pgd on a", 3], "b": "text"}})
    records, faults = store.readable()
    assert faults == []
    for one in (*records, *store.read_records()):
        assert one.planned == planned_run(ONE)
        assert one.provenance.failed_jobs == ("pgd on a", "3")
    assert [one.planned for one in store.read_records(["k1"])] == [None]
    store.write_json("run.json", {**facts, "failed_jobs": {"a": ["pgd on a"]}, "plan": content_hash(TWO)})
    assert [one.provenance.failed_jobs for one in store.readable()[0]] == [(), ()]  # of another plan's run


def test_everything_that_cannot_be_read_is_a_line_and_the_rest_is_read(store):
    finished(store, ONE, "k1", "k2", "k3")
    store.unit("k2").write_text("{")
    store.unit("k3").unlink()
    (store.root / "units" / "a b.json").write_text("")
    (store.root / JOURNAL).write_text("nonsense\n")
    records, faults = store.readable()
    assert [one.key for one in records] == ["k1"]
    assert [fault.about for fault in faults] == [
        JOURNAL, "units/a b.json", "units/k2.json", "units/k3.json",
    ]  # fmt: skip
    (store.root / "plan.json").write_text("[]")
    store.write_json("run.json", {"units": 3})
    assert {fault.about for fault in store.readable()[1]} >= {"plan.json", "run.json", JOURNAL}


def test_a_record_of_another_unit_is_named_briefly(store):
    store.write(record("k1"))
    store.unit("k2").write_text(record("x" * 120).to_json() + "\n")
    with pytest.raises(StorageError, match=f"expected the record of unit 'k2', got one of '{'x' * 80}'\\."):
        store.read("k2")


def test_accounts_of_failures_are_those_of_the_plan(store):
    store.write_json("plan.json", ONE)
    store.write_error("k1", {"error": "boom", "path": store.root})
    assert json.loads(store.error("k1").read_text())["plan"] == content_hash(ONE)
    assert store.read_error("k1") == {"error": "boom", "path": str(store.root), "plan": content_hash(ONE)}
    store.error("k2").write_text(json.dumps({"error": "of a plan before", "plan": content_hash(TWO)}))
    store.error("k3").write_text(json.dumps({"error": "of an earlier version"}))
    store.error("k4").write_text("[]")
    (store.root / "errors" / ".hidden.json").write_text("{}")
    assert store.read_errors() == {
        "k1": {"error": "boom", "path": str(store.root)},
        "k3": {"error": "of an earlier version"},
        "k4": {"error": "unreadable account"},
    }
    assert store.read_error("k4") == store.read_error("k9") == {}
    store.error("k5").mkdir()
    store.write_error("k5", {"error": "again"})
    assert store.read_error("k5")["error"] == "again"


def test_a_good_record_stays_unless_it_is_to_be_replaced_and_a_damaged_one_makes_way(store, told):
    store.write(record("k1", name="first"))
    store.write_error("k1", {"error": "boom"})
    store.write(record("k1", name="second"))
    assert store.read("k1").target.name == "first"
    assert not store.error("k1").exists()
    store.write(record("k1", name="third"), replace=True)
    assert store.read("k1").target.name == "third"
    store.unit("k1").write_text("{")
    assert not store.has("k1")
    store.write(record("k1", name="fourth"))
    assert store.read("k1").target.name == "fourth"
    assert len(told) == 1


def test_another_wording_of_the_same_plan_is_noted_at_once(tmp_path):
    """A process that ends before it writes `run.json` leaves no configuration that looks changed."""
    store = Store(tmp_path)
    store.prepare()
    store.begin(ONE, "one")
    store.write_json("run.json", {**store.facts()[0], "config": store.config_digest()})
    store.begin(ONE, "one # a remark")
    assert (
        store.facts()[0]["config"] == store.config_digest() == hashlib.sha256(b"one # a remark").hexdigest()
    )
