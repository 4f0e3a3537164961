"""A model that could not be made has an account in `errors` until it can be made."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

import robench
from robench.cli import app
from robench.record.store import Store
from robench.run.models.model_accounts import account_key, keep_tracebacks, settle_accounts

CODE = """
def breaks(network, images):
    lost = {}
    lost["missing\x1b[31m"]
def leaves(network, images):
    raise SystemExit(3)
def signs(model, x, y, eps):
    return {}["nope"]
"""
PLAN = """
name: mine
dataset: {name: digits, limit: 8}
models:
  - {name: plain, architecture: digits_cnn}
  - {name: broken, architecture: digits_cnn, train: {defense: "mine.py:breaks", data: {limit: 20}}}
threats:
  - {norm: Linf, eps: 0.1, attacks: [fgsm, "mine.py:signs"]}
"""
FOLDER = Path("runs/mine")


@pytest.fixture
def store(tmp_path):
    store = Store(tmp_path)
    store.prepare()
    return store


@pytest.fixture
def robench_(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ROBENCH_TRACEBACK", "0")
    (tmp_path / "mine.py").write_text(CODE)
    (tmp_path / "mine.yaml").write_text(PLAN)

    def call(*words):
        return CliRunner().invoke(app, list(words))

    return call


def test_an_account_stays_with_its_traceback_until_the_model_can_be_made(store):
    keep_tracebacks(store, {"a": "boom"}, {"a": "line 3"})
    settle_accounts(store, ["a", "b"], {"a": "boom"})
    (account,) = store.read_errors().values()
    assert account == {"job": "model a", "model": "a", "error": "boom", "traceback": "line 3"}
    settle_accounts(store, ["a", "b"], {"a": "killed"})
    assert store.read_error(account_key("a")) == {"job": "model a", "model": "a", "error": "killed"}
    settle_accounts(store, ["a", "b"], {})
    assert store.read_errors() == {}


@pytest.mark.thorough
def test_a_run_tells_of_broken_code_with_file_line_and_traceback(robench_, tmp_path):
    run = ("run", "mine.yaml", "--trust-code", "--workers", "0", "--device", "cpu")
    outcome = robench_(*run)
    assert outcome.exit_code == 3, outcome.output
    assert "Traceback" not in outcome.output
    where = f"expected weights, got KeyError: 'missing\\x1b[31m' (at {tmp_path}/mine.py, line 4)"
    assert f"broken: mine.py:breaks: {where}" in outcome.stderr
    store = Store(FOLDER)
    accounts = {a["job"]: a for a in store.read_errors().values()}
    assert set(accounts) == {"model broken", "signs on plain through exact (Linf 0.1)"}
    assert accounts["model broken"]["error"].endswith(f"{where}.")
    assert 'lost["missing' in accounts["model broken"]["traceback"]
    assert 'return {}["nope"]' in accounts["signs on plain through exact (Linf 0.1)"]["traceback"]
    board = json.loads((store.root / "run.json").read_text())
    assert set(board["failed_models"]) == {"broken"}
    page = (store.root / "report.html").read_text()
    assert page.count("expected weights, got") == 1
    assert len(robench.open_run(str(FOLDER)).failures) == 2

    plain = robench_("show", str(FOLDER)).output
    assert "Traceback" not in plain
    for words in (("show", str(FOLDER)), run):
        text = robench_("--traceback", *words).output
        assert 'return {}["nope"]' in text
        assert 'lost["missing' in text
        assert "\x1b" not in text


@pytest.mark.thorough
def test_a_training_alone_leaves_its_account_too(robench_, tmp_path):
    (tmp_path / "mine.yaml").write_text(PLAN.replace("mine.py:breaks", "mine.py:leaves"))
    outcome = robench_("train", "mine.yaml", "--trust-code", "--device", "cpu")
    assert outcome.exit_code == 3, outcome.output
    (account,) = Store(FOLDER).read_errors().values()
    assert f"got a call of sys.exit(3) (at {tmp_path}/mine.py, line 6)" in account["error"]
    assert "raise SystemExit(3)" in account["traceback"]
    assert "runs/mine/errors" in outcome.stderr
