"""Files of a run folder, small and valid, and what hostile ones are made of.

Half of the damaged ones get a right checksum again: a checksum tells of accidents, and whoever writes a
hostile file writes its checksum too. What is accepted must also fit on a board: a reader that accepts what no
report can show has only moved the fault.
"""

import dataclasses
import json

from hypothesis import strategies as st

from reports.board.run_folder import read_run
from reports.html.training_sections import curves
from reports.text.csv import CSV
from reports.text.json import JSON
from robench.errors import StorageError
from robench.plan import config
from robench.plan.spec import content_hash, to_json
from robench.record.files import read_json
from robench.record.journal import KEY, read_journal
from robench.record.schema import Columns, Finding, Record
from robench.record.seal import sealed_text
from robench.record.store import Store
from robench.record.training_history import chosen_row, robust_overfitting
from tests.faults.fuzz.mutations import damaged
from tests.records import record_of

# Values of JSON, changed where they stand

ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.sampled_from([0, -1, -3, 2**31, 2**53, 2**63, 10**400]),
    st.floats(),
    st.text(max_size=4),
    st.sampled_from(
        ["inf", "nan", "1e999", "..", "a/b", "\0", "\ud800", "x" * 5000, "<script>", "=1+1", "\x1b[31m", "é"]
    ),
    st.sampled_from([[], {}, [[]], [None], {"": None}, {"a": {"b": []}}]),
)


CHANGES = ("replace", "kin", "take", "double", "exchange", "deepen", "name")


def places(data, at=()):
    """Return the paths of all values inside."""
    inner = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    return [at, *(path for name, value in inner for path in places(value, (*at, name)))]


def kin(value):
    """Return what draws values of the same type, which a reader of types cannot refuse."""
    match value:
        case bool():
            return st.booleans()
        case int():
            return st.one_of(st.integers(-3, 3), st.sampled_from([2**31, 2**53, 2**63 - 1, -(2**63)]))
        case float():
            return st.floats(allow_nan=False, allow_infinity=False)
        case str():
            texts = [
                "robust",
                "broken",
                "misclassified",
                "failed",
                "clean",
                "inf",
                "a",
                "k0",
                "Linf",
                "joint",
            ]
            return st.one_of(st.text(max_size=4), st.sampled_from(texts))
        case list():
            return st.permutations(value).map(list)
        case dict():
            return st.just({})
    return st.none()


@st.composite
def changed_values(draw, seeds):
    """Draw a copy of plain data in which a few values are replaced, taken away, doubled or exchanged."""
    data = json.loads(json.dumps(draw(st.sampled_from(seeds))))
    gentle = draw(st.booleans())  # then a reader that looks at types alone accepts it
    for _ in range(draw(st.integers(1, 3))):
        paths = [path for path in places(data) if path]
        if not paths:
            break
        path, other = draw(st.sampled_from(paths)), draw(st.sampled_from(paths))
        holder, name = within(data, path[:-1]), path[-1]
        match "kin" if gentle else draw(st.sampled_from(CHANGES)):
            case "replace":
                holder[name] = draw(ODD)
            case "kin":
                holder[name] = draw(kin(holder[name]))
            case "take":
                del holder[name]
            case "double" if isinstance(holder, list):
                holder.insert(name, holder[name])
            case "exchange":
                holder[name] = json.loads(json.dumps(within(data, other)))
            case "deepen":
                for _ in range(draw(st.sampled_from([1, 2, 70]))):
                    holder[name] = {"a": holder[name]} if draw(st.booleans()) else [holder[name]]
            case "name" if isinstance(holder, dict):
                holder[draw(st.text(max_size=5))] = holder.pop(name)
    return data


def within(data, path):
    """Return the value at a path."""
    for name in path:
        data = data[name]
    return data


def json_bytes(data):
    return json.dumps(data).encode("utf-8", "surrogatepass")


JSON_TOKENS = [
    *(b'"', b"{", b"}", b"[", b"]", b",", b":", b"null", b"true", b"NaN", b"Infinity", b"-0", b"1e999"),
    b"\\ud800",
    *(b"\\u0000", b"\xff", b"\xef\xbb\xbf", b"9" * 5000, b"[" * 3000, b'{"a":' * 500, b"-1", b"0.5", b'""'),
    *(b'"stood": ["1", "0"]', b'"schema": 2', b'"sha256": ""', b"\n", b"\r\n", b"\xe2\x80\xa8"),
]  # fmt: skip

# Records


def record(**changes):
    columns = Columns(
        index=[0, 1, 2], label=[1, 0, 2], clean=[1, 0, 0], adversarial=[2, 0, -1], linf=[0.1, 0.05, 0.0],
        status=["broken", "robust", "misclassified"], l2=[0.2, 0.3, 0.0], forwards=[3.0, 9, 0],
        backwards=[2.0, 4, 0], first_success=[1, 0, 0], points=[4, 9, 0], tries=[1, 2, 0],
        first_passes=[3, 0, 0], first_try=[1, 0, 0],
    )  # fmt: skip
    values = {
        "key": "k1",
        "target": {"name": "a", "fingerprint": "f", "output": "logits", "coupling": "independent",
                   "sources": ["self"], "details": {"head": "linear", "architecture": "x"}},
        "source": {"name": "a", "fingerprint": "f", "gradient_source": "self", "gradients": 20},
        "attack": {"label": "pgd", "name": "m:PGD", "title": "PGD", "options": {"steps": 20}},
        "threat": {"norm": "Linf", "eps": 0.1, "bounds": [0.0, 1.0], "goal": "untargeted",
                   "knowledge": ["weights"], "budget": 100, "eps_text": "0.1"},
        "dataset": {"name": "toy", "split": "test", "digest": "d", "set": "s", "n": 3,
                    "classes": ["u", "v", "w"]},
        "seed": 0, "columns": columns,
        "findings": (Finding(code="nonfinite", evidence="1 of 3", remedy="look"),),
        "provenance": {"versions": {"torch": "2"}, "device": "cpu", "batch_size": 3, "seconds": 0.5,
                       "engine": {"used": "folded", "not_used": {"copy": "slow"}, "proof": {"outputs": 1e-7}},
                       "crafted": "k1"},
    }  # fmt: skip
    return record_of(**{**values, **changes})


CLEAN = record(
    key="k0", source={"name": ""}, attack={"label": "clean"}, threat={}, findings=(),
    columns=dataclasses.replace(record().columns, status=["robust", "robust", "misclassified"],
                                adversarial=[1, 0, 0], linf=[0.0] * 3, l2=[0.0] * 3),
)  # fmt: skip
RANDOM = record(columns=dataclasses.replace(record().columns, stood=["0010", "1111", "0000"]))
RECORDS = tuple(json.loads(one.to_json()) for one in (record(), RANDOM, CLEAN))
UNSEALED = tuple(json_bytes(one) for one in RECORDS)
SEALED = tuple(sealed_text(one.decode()).encode() + b"\n" for one in UNSEALED)


def resealed(data):
    """Return a text of JSON with a right checksum, where it can have one."""
    return sealed_text(data.decode("utf-8", "replace")).encode("utf-8", "surrogatepass") + b"\n"


record_bytes = st.one_of(
    damaged(SEALED, JSON_TOKENS),
    damaged(UNSEALED, JSON_TOKENS),
    damaged(UNSEALED, JSON_TOKENS).map(resealed),
    changed_values(RECORDS).map(json_bytes),
    changed_values(RECORDS).map(json_bytes).map(resealed),
)


def folder_of_two(folder):
    """Return the store of a folder that holds a good record of clean images and nothing else."""
    store = Store(folder / "run")
    if not (folder / "run" / "units").is_dir():
        store.prepare()
    for name in ("run.json", "plan.json", "finished.txt"):
        (store.root / name).unlink(missing_ok=True)
    for path in (store.root / "units").iterdir():
        path.unlink()
    store.unit("k0").write_bytes(SEALED[2])
    return store


def show(records):
    """Every record that is accepted fits on a board."""
    assert json.loads(JSON().render(records))["boards"] is not None
    assert CSV().render(records)


def read_record(folder, data):
    store = folder_of_two(folder)
    store.unit("k1").write_bytes(data)
    one = store.read("k1")
    assert one.key == "k1"
    assert len({len(column) for column in one.columns.plain().values()}) == 1
    assert Record.from_json(one.to_json()) == one
    store.write(one)
    assert store.read("k1") == one
    records, faults = store.readable()
    assert not faults
    show(records)


# Plans, facts and journals

PLAN = to_json(
    config.parse((config.SUITES / "digits.yaml").read_text("utf-8"), file=config.SUITES / "digits.yaml")
)
DIGEST = content_hash(PLAN)
FACTS = (
    {
        "name": "x", "status": "finished", "units": ["k0", "k1"], "expected": 2,
        "failed_models": {"a": "why"},
        "geometry": ["g1"], "failed_jobs": {"a": ["pgd"]}, "plan": DIGEST, "hardware": {"machine": "m"},
    },
    {"name": "x", "status": "running", "units": [], "plan": DIGEST},
    {"units": ["k1"]},
)  # fmt: skip
JOURNALS = (f"{DIGEST}\nk0\nk1\n".encode(), f"{DIGEST}\n".encode(), b"\n", f"{'0' * 32}\nk1\nk1\n".encode())


def read_folder_of_run(folder, name, data):
    """Whatever a file of the run's own holds, the folder can be shown, and the next run can begin in it."""
    store = folder_of_two(folder)
    store.unit("k1").write_bytes(SEALED[0])
    for own, content in (("run.json", json_bytes(FACTS[0])), ("plan.json", json_bytes(PLAN))):
        (store.root / own).write_bytes(content)
    (store.root / "finished.txt").write_bytes(JOURNALS[0])
    (store.root / name).write_bytes(data)
    records, faults = store.readable()
    assert {one.key for one in records} <= {"k0", "k1"}
    show(records)
    run = read_run(store.root)
    assert len(run.unreadable) >= len(faults)
    assert all(isinstance(key, str) and KEY.fullmatch(key) for key in store.planned())
    began(store)
    if faults:
        raise StorageError(expected="a whole folder", got=faults[0].text[:200])


def began(store):
    """The next run begins: its plan is in the folder, and there is a journal of it."""
    again = Store(store.root, told=lambda text: None)
    again.begin(PLAN, "text")
    assert again.plan_digest() == DIGEST
    digest, keys = read_journal(again.root)
    assert digest == DIGEST
    assert all(map(KEY.fullmatch, keys))
    for path in (store.root / "damaged").glob("*"):
        path.unlink()


facts_bytes = st.one_of(
    changed_values(FACTS).map(json_bytes),
    damaged(tuple(map(json_bytes, FACTS)), JSON_TOKENS),
    ODD.map(json_bytes),
)
plan_bytes = st.one_of(
    changed_values((PLAN,)).map(json_bytes), damaged((json_bytes(PLAN),), JSON_TOKENS), ODD.map(json_bytes)
)
JOURNAL_TOKENS = [
    b"\n",
    b"\r\n",
    b"\0",
    b"\xff",
    b"../x\n",
    b"k2\n",
    b"a" * 129 + b"\n",
    DIGEST.encode(),
    b" ",
    b"\x85",
]
journal_bytes = st.one_of(
    damaged(JOURNALS, JOURNAL_TOKENS),
    st.lists(st.sampled_from([*JOURNAL_TOKENS, b"k0\n", b"k1"]), max_size=12).map(b"".join),
)


def read_facts(folder, data):
    read_folder_of_run(folder, "run.json", data)


def read_plan(folder, data):
    read_folder_of_run(folder, "plan.json", data)


def read_journal_file(folder, data):
    read_folder_of_run(folder, "finished.txt", data)


# Histories and cards of trainings, accounts of failures

HISTORY = (
    b"epoch,stage,loss,validation_robust_accuracy,validation_images,best\n1,,0.5,0.5,100,1\n2,,0.4,0.25,100,\n",
    b'epoch,loss\r\n1,"0.5"\r\n',
)
HISTORY_TOKENS = [
    b",",
    b'"',
    b"\n",
    b"\r",
    b"\0",
    b"nan",
    b"1e999",
    b"-1",
    b"\xff",
    b"epoch",
    b"9" * 400,
    b"x" * 140_000,
]
ACCOUNTS = ({"job": "pgd on a", "error": "Traceback\n  boom", "plan": DIGEST}, {"error": "x"})


def read_history(folder, pair):
    store = folder_of_two(folder)
    place = store.model("m")
    place.mkdir(exist_ok=True)
    (place / "history.csv").write_bytes(pair[0])
    store.error("k9").write_bytes(pair[1])
    run = read_run(store.root)
    for training in run.trainings:
        assert training.history
        assert chosen_row(training.history) is not None
        assert isinstance(robust_overfitting(training.history), str)
    assert len(curves(run)) == len(run.trainings)
    if not run.trainings:
        raise StorageError(expected="a history", got="none")
    read_json(store.error("k9"))


history_pairs = st.tuples(
    damaged(HISTORY, HISTORY_TOKENS),
    st.one_of(
        changed_values(ACCOUNTS).map(json_bytes), damaged(tuple(map(json_bytes, ACCOUNTS)), JSON_TOKENS)
    ),
)
