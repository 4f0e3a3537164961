"""`robench check TARGET` with a plugin."""

import pytest
from typer.testing import CliRunner

from robench import plugins
from robench.cli import app
from robench.conformance import Result, Verdict


@pytest.fixture
def check(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ROBENCH_TRACEBACK", raising=False)
    return lambda *arguments: CliRunner().invoke(app, ["check", *arguments], prog_name="robench")


@pytest.fixture
def asked(monkeypatch):
    """Replace the laws by a list of verdicts; return what was checked."""
    calls = []

    def install(*verdicts):
        def checks(kind, recipe, *, root=None, download=False):
            calls.append((kind, recipe, root, download))
            for number, verdict in enumerate(verdicts):
                yield Result(law=f"law{number}", promise="It works.", verdict=verdict, evidence="[seen]")

        monkeypatch.setattr("robench.conformance.checks", checks)
        return calls

    return install


def test_one_line_per_law_and_a_count(check, asked):
    calls = asked(Verdict.HOLDS, Verdict.HOLDS, Verdict.NOT_APPLICABLE)
    outcome = check("attacks:pgd", "--set", "steps=3", "--set", "restarts=2")
    assert outcome.exit_code == 0, outcome.output
    first, *laws, last = outcome.stdout.splitlines()
    assert first == "attacks:pgd: PGD, from robench"
    assert [law.split()[0] for law in laws] == ["ok", "ok", "not"]
    assert "law1" in laws[1]
    assert "It works. [seen]" in laws[1]
    assert last == "2 ok, 0 failed, 1 not applicable"
    ((kind, recipe, _, _),) = calls
    assert (kind, recipe.steps, recipe.restarts) == ("attacks", 3, 2)


def test_a_function_of_a_file_is_no_dataclass_and_what_is_not_looked_at_is_one_line(check, tmp_path):
    (tmp_path / "mine.py").write_text("def nan(model, x, y, eps): return {}['nope']\n")
    outcome = check(f"attacks:{tmp_path}/mine.py:nan", "--trust-code")
    assert outcome.exit_code == 1, outcome.output
    (first_law,) = (line for line in outcome.stdout.splitlines() if "frozen dataclass" in line)
    assert first_law.split()[:3] == ["not", "applicable", "described"]
    assert "function or class of a file" in first_law
    (summary,) = (line for line in outcome.stdout.splitlines() if "Not looked at" in line)
    assert "16 laws: seed, seedless, chance," in summary
    assert outcome.stdout.splitlines()[-1] == "1 ok, 1 failed, 18 not applicable"


def test_a_broken_law_is_exit_code_1(check, asked):
    asked(Verdict.HOLDS, Verdict.FAILED)
    outcome = check("heads:wnll")
    assert outcome.exit_code == 1
    assert "FAILED" in outcome.stdout


def test_a_bare_name_and_nested_options_and_places(check, asked, tmp_path):
    calls = asked(Verdict.HOLDS)
    assert check("art/evasion", "--set", "attack=DeepFool", "--set", "options.max_iter=5").exit_code == 0
    assert calls[0][1].options == {"max_iter": 5}
    assert check("datasets:digits", "--data-root", str(tmp_path), "--download").exit_code == 0
    assert calls[1][2:] == (tmp_path, True)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["attacks:pdg"], "'pgd'"),
        (["atacks:pgd"], "'attacks'"),
        (["reports:csv"], "KIND:NAME"),
        (["wnl"], "'wnll'"),
        (["digit"], "'digits'"),
        (["defenses:trades"], "--set eps=VALUE"),
        (["attacks:pgd", "--set", "stepps=3"], "'steps'"),
        (["attacks:pgd", "--set", "steps"], "option=value"),
        (["attacks:pgd", "--set", "steps=3", "--set", "steps.a=3"], "a mapping"),
        (["attacks:pgd", "--set", "steps=0"], "at least 1"),
        (["attacks:pgd", "--preflight"], "--preflight"),
        (["attacks:pgd", "--device", "cuda"], "--device"),
        (["absent.yaml"], "No such file"),
    ],
)
def test_unusable_input_is_exit_code_2(check, arguments, words):
    outcome = check(*arguments)
    assert outcome.exit_code == 2, outcome.output
    assert words in outcome.stderr
    assert "Traceback" not in outcome.output


def test_a_name_of_two_plugins_is_refused_and_a_suite_goes_first(check, monkeypatch):
    proper = plugins.proper
    monkeypatch.setattr(plugins, "proper", lambda kind, name: name if name == "twice" else proper(kind, name))
    outcome = check("twice")
    assert outcome.exit_code == 2
    assert "attacks:twice" in outcome.stderr
    assert "4 models" in check("digits").stdout  # a suite, and a data set
