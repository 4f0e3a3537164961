import json
import os
import signal
import subprocess
import sys
import types
from importlib import import_module
from importlib.metadata import PackageNotFoundError

import pytest
import typer
from typer.testing import CliRunner

from robench.cli import app
from robench.cli.commands import COMMANDS
from robench.cli.session import interruptible
from robench.errors import InputError
from robench.record.schema import Columns
from robench.record.store import Store
from tests.records import record_of

HOSTILE = "a[/red]\x1b[31m|b"


def record(key, name="a", attack="pgd", status="robust"):
    n = 4
    columns = Columns(
        index=list(range(n)), label=[1] * n, clean=[1] * n, adversarial=[1] * n, status=[status] * n,
        linf=[0.1] * n, l2=[0.2] * n, forwards=[1.0] * n, backwards=[1.0] * n, first_success=[0] * n,
    )  # fmt: skip
    clean = attack == "clean"
    return record_of(
        key=key,
        target={"name": name, "fingerprint": name},
        source={
            "name": "" if clean else name,
            "fingerprint": "" if clean else name,
            "gradient_source": "exact",
        },
        attack={"label": attack, "name": attack, "options": {}, "minimises": False, "library": "robench"},
        threat={} if clean else {"norm": "Linf", "eps": 0.2, "eps_text": "0.2", "goal": "untargeted"},
        dataset={"name": "toy", "split": "test", "digest": "d"},
        seed=0,
        columns=columns,
        provenance={},
    )


@pytest.fixture
def cli(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ROBENCH_TRACEBACK", raising=False)
    monkeypatch.delenv("COLUMNS", raising=False)

    def call(*arguments):
        return CliRunner().invoke(app, list(arguments), prog_name="robench")

    return call


@pytest.fixture
def runner(monkeypatch):
    """Replace the module that runs plans, so that no test of the command line needs torch."""
    calls = []

    def install(work=None, failures=0):
        def execute(plan, out, *, reporter, **options):
            calls.append((plan, out, options))
            store = Store(out)
            store.prepare()
            reporter.start(3)
            reporter.stage("training x")
            reporter.training({"epoch": 1.0, "loss": 0.5})
            if work:
                work()
            if failures:
                store.write_error("k3", {"job": "pgd", "error": "boom"})
            store.write(record("k1", HOSTILE, "clean"))
            store.write(record("k2", HOSTILE))
            reporter.advance(f"pgd on {HOSTILE}")
            reporter.advance("cached", cached=True)
            return types.SimpleNamespace(
                finished=2, cached=1, failed=failures, seconds=61.5, images=8, judging=40.0, replaced=""
            )

        module = types.ModuleType("robench.run.execute")
        module.execute = module.train_only = execute
        monkeypatch.setitem(sys.modules, "robench.run.execute", module)
        return calls

    return install


def test_run_prints_the_board_writes_files_and_says_where(cli, runner, tmp_path):
    calls = runner()
    outcome = cli("run", "digits", "--limit", "4", "--seed", "3", "--batch-size", "7", "-o", "out", "--force")
    assert outcome.exit_code == 0, outcome.output
    assert "Worst case" in outcome.stdout
    assert outcome.stdout.splitlines()[-3:] == [
        "2 units finished, 1 cached, 0 failed; no row in doubt.",
        "Time: 1 min 2 s, 8 images judged at 0.2 a second.",
        "Report: out/report.html; leaderboard.csv, measurements.csv, curves.csv, leaderboard.md, cards",
    ]
    plan, out, options = calls[0]
    assert (plan.data.limit, plan.seed, plan.batch_size, str(out)) == (4, 3, 7, "out")
    assert options["environment"].force
    assert not options["environment"].trust_code
    assert options["config_text"].startswith("#")
    assert (tmp_path / "out" / "leaderboard.md").is_file()


def test_piped_output_has_one_plain_line_per_unit_and_no_escape_codes(cli, runner):
    runner()
    outcome = cli("run", "digits")
    assert "\x1b" not in outcome.output
    assert "[1/3] pgd on a[/red]\\x1b[31m|b" in outcome.stderr
    assert "cached" not in outcome.stderr
    assert "a[/red]\\x1b[31m|b" in outcome.stdout


def test_quiet_prints_only_how_it_ended(cli, runner):
    runner()
    outcome = cli("run", "digits", "-q")
    assert outcome.output == "2 units finished, 1 cached, 0 failed; no row in doubt.\n"


def test_failed_jobs_are_exit_code_3_and_the_rest_is_shown(cli, runner):
    runner(failures=2)
    outcome = cli("run", "digits")
    assert outcome.exit_code == 3
    assert "Worst case" in outcome.stdout
    assert "runs/digits/errors" in outcome.stderr


def raising(error):
    def work():
        raise error

    return work


def test_errors_are_one_clear_message_and_their_exit_code(cli, runner):
    runner(raising(InputError(expected="a thing", got="[bold]none")))
    outcome = cli("run", "digits")
    assert outcome.exit_code == 2
    assert "error: expected a thing, got [bold]none." in outcome.stderr


@pytest.mark.parametrize("error", [ValueError("boom"), OSError(28, "No space left"), RuntimeError("boom")])
def test_unexpected_errors_are_exit_code_4_without_a_traceback(cli, runner, error, monkeypatch):
    runner(raising(error))
    outcome = cli("run", "digits")
    assert outcome.exit_code == 4
    assert "Traceback" not in outcome.output
    assert str(error) in outcome.stderr
    monkeypatch.setenv("ROBENCH_TRACEBACK", "1")
    assert "Traceback" in cli("run", "digits").stderr


def test_ctrl_c_before_there_is_a_folder_does_not_say_that_work_is_saved(tmp_path, capsys):
    def work(reporter):
        raise KeyboardInterrupt

    with pytest.raises(typer.Exit) as end:
        interruptible(work, tmp_path / "absent", quiet=True, threads=None)
    assert end.value.exit_code == 130
    message = capsys.readouterr().err
    assert "Interrupted. Nothing was begun" in message
    assert "saved" not in message


def test_ctrl_c_says_what_is_saved_and_how_to_resume(cli, runner, monkeypatch):
    runner(raising(KeyboardInterrupt()))
    monkeypatch.setattr(sys, "argv", ["robench", "run", "digits", "--set", "name=a b"])
    outcome = cli("run", "digits")
    assert outcome.exit_code == 130
    assert "Finished work is saved in runs/digits" in outcome.stderr
    assert "Resume with: robench run digits --set 'name=a b'" in outcome.stderr


def test_sigterm_is_143_and_the_old_handler_comes_back(cli, runner):
    before = signal.getsignal(signal.SIGTERM)
    runner(lambda: os.kill(os.getpid(), signal.SIGTERM))
    outcome = cli("run", "digits", "--workers", "0")
    assert outcome.exit_code == 143
    assert "Resume with" in outcome.stderr
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.parametrize(
    ("name", "now", "code"), [("SIGINT", False, 130), ("SIGUSR1", False, 138), ("SIGTERM", True, 143)]
)
def test_a_signal_asks_a_run_to_stop_and_a_second_one_at_once(cli, runner, name, now, code):
    number = getattr(signal, name)
    before = signal.getsignal(number)
    calls, looks = [], []

    def look():
        stop = calls[0][2]["processes"].stop
        os.kill(os.getpid(), number)
        looks.append((stop.soon, stop.now))
        os.kill(os.getpid(), number)
        looks.append((stop.soon, stop.now))
        stop.check(working=True)

    calls = runner(look)
    outcome = cli("run", "digits")
    assert outcome.exit_code == code
    assert looks == [(True, now), (True, True)]
    assert "Resume with" in outcome.stderr
    assert signal.getsignal(number) is before


def test_what_is_there_is_written_after_a_stop_that_let_units_finish(cli, runner, tmp_path):
    calls = []

    def ask():
        store = Store(calls[0][1])
        store.write(record("k1", HOSTILE, "clean"))
        calls[0][2]["processes"].stop.ask(signal.SIGUSR1, now=False)
        calls[0][2]["processes"].stop.check(working=False)

    calls = runner(ask)
    assert cli("run", "digits").exit_code == 138
    assert (tmp_path / "runs" / "digits" / "leaderboard.csv").is_file()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--shard", "3/2"], "expected I/N with 1 <= I <= N"),
        (["--shard", "x"], "expected I/N"),
        (["--memory-per-job", "many"], "expected a size such as 8GB"),
        (["--memory-per-job", "0"], "expected a size such as 8GB"),
        (["--workers", "0", "--shard", "1/2"], "Leave --workers 0 out"),
        (["--workers", "0", "--timeout-per-job", "5"], "Leave --workers 0 out"),
        (["--workers", "0", "--executor", "ray"], "Leave --workers 0 out"),
        (["--address", "auto"], "expected --executor ray"),
        (["--executor", "ray", "--memory-per-job", "1GB"], "expected --executor local"),
    ],
)
def test_options_of_workers_that_do_not_fit_are_refused(cli, runner, options, words):
    calls = runner()
    outcome = cli("run", "digits", *options)
    assert outcome.exit_code == 2
    assert words in outcome.stderr
    assert calls == []


def test_train_trains(cli, runner):
    calls = runner()
    outcome = cli("train", "digits", "--seed", "4")
    assert outcome.exit_code == 0, outcome.output
    assert "2 networks finished" in outcome.stdout
    assert outcome.stdout.splitlines()[-1] == "Weights: runs/digits/models"
    assert calls[0][0].seed == 4


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["run", "digit"], "'digits'"),
        (["run"], "robench.yaml"),
        (["run", "digits", "--device", "gpu"], "cuda"),
        (["run", "digits", "--limit", "0"], "greater"),
        (["run", "digits", "--set", "threats.0.attacks.0=fsgm"], "'fgsm'"),
        (["list", "atacks"], "'attacks'"),
        (["show", "pdg"], "'pgd'"),
        (["check", "absent.yaml"], "No such file"),
        (["leaderboard", "absent"], "run folder"),
        (["leaderboard", "absent", "--format", "xml"], "xml"),
        (["rnu"], "rnu"),
    ],
)
def test_usage_and_configuration_errors_are_exit_code_2(cli, arguments, words):
    outcome = cli(*arguments)
    assert outcome.exit_code == 2, outcome.output
    assert words in outcome.stderr
    assert "Traceback" not in outcome.output


def test_dry_run_runs_nothing(cli, runner, tmp_path):
    calls = runner()
    outcome = cli("run", "digits", "--dry-run")
    assert outcome.exit_code == 0
    assert "Nothing was run" in outcome.stdout
    assert calls == []
    assert not (tmp_path / "runs").exists()


def test_list_text_and_json_and_keyword(cli):
    assert "attacks\n" in cli("list").stdout
    entries = json.loads(cli("list", "attacks", "--format", "json").stdout)
    assert {"fgsm", "pgd", "cw"} <= {e["name"] for e in entries}
    assert all(e["paper"] for e in entries)
    matches = json.loads(cli("list", "-k", "madry", "--format", "json").stdout)
    assert "pgd" in {e["name"] for e in matches}
    assert "fgsm" not in {e["name"] for e in matches}
    assert {e["name"] for e in json.loads(cli("list", "suites", "--format", "json").stdout)} >= {"digits"}
    assert "Nothing matches" in cli("list", "-k", "qqqqq").stdout


def test_show_a_plugin_a_suite_and_a_run(cli, tmp_path):
    text = cli("show", "pgd").stdout
    assert "steps: int = 40" in text
    assert "arXiv:1706.06083" in text
    text = cli("show", "digits").stdout
    assert "dataset digits" in text
    assert "suite digits" in text
    store = Store(tmp_path / "r")
    store.prepare()
    store.write(record("k1", HOSTILE))
    store.unit("k2").write_text("{")
    store.write_error("k3", {"job": "cw on a", "error": "boom"})
    text = cli("show", "r").stdout
    assert "\x1b" not in text
    assert "pgd Linf 0.2 (4 images)" in text
    assert "unreadable" in text
    assert "cw on a: boom" in text


def test_check(cli, tmp_path):
    assert "4 models" in cli("check", "digits").stdout
    (tmp_path / "c.yaml").write_text("dataset: digits\nmodels:\n  - {name: a, architecture: resnet02}\n")
    outcome = cli("check", "c.yaml")
    assert outcome.exit_code == 2
    assert "c.yaml:3: " in outcome.stderr
    assert "'resnet20'" in outcome.stderr


@pytest.fixture
def run_folders(tmp_path):
    for folder, name in (("one", "a"), ("two", "b")):
        store = Store(tmp_path / folder)
        store.prepare()
        store.write(record("k1" + name, name, "clean"))
        store.write(record("k2" + name, name))
    return tmp_path


@pytest.mark.parametrize(
    ("format_", "words"), [("text", "Worst case"), ("md", "| Rank |"), ("csv", "worst_case_low")]
)
def test_leaderboard_formats(cli, run_folders, format_, words):
    assert words in cli("leaderboard", "one", "--format", format_).stdout
    outcome = cli("leaderboard", "one", "--format", format_, "-o", "board.txt")
    assert outcome.exit_code == 0
    assert words in (run_folders / "board.txt").read_text()


def test_runs_with_the_same_board_are_merged(cli, run_folders):
    (board,) = json.loads(cli("leaderboard", "one", "two", "--format", "json").stdout)["boards"]
    assert {row["model"] for row in board["rows"]} == {"a", "b"}


def test_a_foreign_file_among_the_units_is_named(cli, run_folders):
    (run_folders / "one" / "units" / "k9.json").write_text("not a record")
    outcome = cli("leaderboard", "one")
    assert outcome.exit_code == 0
    assert "k9.json" in outcome.stderr


def test_doctor_says_how_to_get_torchattacks(cli, monkeypatch):
    def version(package):
        if package == "torchattacks":
            raise PackageNotFoundError
        return "1.0"

    module = import_module("robench.cli.doctor")
    monkeypatch.setattr("importlib.metadata.version", version)
    monkeypatch.setattr(module, "_devices", list)
    outcome = cli("doctor")
    assert outcome.exit_code == 1
    assert "pip install --no-deps torchattacks" in outcome.stdout


@pytest.mark.thorough
def test_a_reader_that_has_enough_is_no_error(tmp_path):
    code = "import sys; sys.argv = ['robench', 'list']; from robench.cli import main; main()"
    writer = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=tmp_path
    )
    writer.stdout.close()
    assert b"Traceback" not in writer.stderr.read()
    writer.stderr.close()
    assert writer.wait() in {0, 1}


def test_help_stands_in_groups_and_every_command_is_in_one(cli):
    text = cli("--help").stdout
    for title in ("Measure", "Check and prove", "Read and compare results", "Publish", "What there is"):
        assert f" {title} " in text
    assert " Commands " not in text
    names = [name for commands in COMMANDS.values() for name in commands]
    assert len(names) == 24
    assert all(f" {name} " in text for name in names)
    for title in ("Result", "What is done", "Where and how", "Worker processes"):
        assert f" {title} " in cli("run", "--help").stdout


def test_paragraphs_of_a_help_text_are_folded_where_the_terminal_ends(cli):
    lines = [line.strip() for line in cli("certify", "--help").stdout.splitlines()]
    start = next(at for at, line in enumerate(lines) if line.startswith("A model with"))
    assert all(len(line) > 55 for line in lines[start : start + 3])


def test_a_run_prints_json_alone_on_stdout(cli, runner):
    runner()
    result = cli("run", "digits", "-o", "out", "--format", "json")
    assert result.exit_code == 0, result.output
    answer = json.loads(result.stdout)
    assert answer["schema"] == 1
    assert (answer["run"]["folder"], answer["run"]["finished"], answer["run"]["failed"]) == ("out", 2, 0)
    assert "out/report.html" in answer["run"]["files"]
    assert answer["boards"][0]["rows"][0]["model"] == HOSTILE
    assert "2 units finished" in result.stderr


def test_json_of_a_run_with_failures_is_whole_and_the_exit_code_3(cli, runner):
    runner(failures=1)
    result = cli("run", "digits", "--format", "json", "-q")
    assert result.exit_code == 3
    assert json.loads(result.stdout)["run"]["failed"] == 1


def test_json_of_a_dry_run_is_refused(cli, runner):
    runner()
    result = cli("run", "digits", "--format", "json", "--dry-run")
    assert result.exit_code == 2
    assert "--format json: expected a run" in result.stderr


def test_piped_tables_end_where_their_text_ends(cli, run_folders, tmp_path):
    result = cli("leaderboard", "one", "two")
    lines = result.stdout.splitlines()
    assert len(lines) > 5
    assert [line for line in lines if line != line.rstrip()] == []
    assert cli("leaderboard", "one", "two", "-o", "board.txt").exit_code == 0
    saved_lines = (tmp_path / "board.txt").read_text().splitlines()
    assert saved_lines == lines


def test_list_tells_of_each_attack_norms_what_it_sees_and_its_paper(cli):
    lines = [line.split("  ") for line in cli("list", "attacks").stdout.splitlines()[1:]]
    facts = {words[1]: [word.strip() for word in words[2:] if word.strip()] for words in lines}
    assert facts["pgd"][:2] == ["Linf, L2", "gradients"]
    assert facts["square"][1] == "scores"
    assert facts["art/HopSkipJump"][:2] == ["Linf, L2, smallest", "labels"]
    assert facts["art/HopSkipJump"][2].endswith("from labels alone. Chen et al. 2020, arXiv:1904.02144")
    for name, words in facts.items():
        assert len(words) == 3, name
        assert ". " in words[2], name
    entries = json.loads(cli("list", "attacks", "--format", "json").stdout)
    assert all(entry["norms"] and entry["needs"] and entry["paper"] for entry in entries)


def test_list_says_of_each_attack_of_a_library_whether_that_is_installed(cli, monkeypatch):
    import attacks.libraries.catalogue as catalogue

    def lacking(module):
        return module == "torchattacks"

    monkeypatch.setattr(catalogue, "_is_missing", lacking)
    lines = cli("list", "attacks").stdout.splitlines()[1:]
    (line,) = (line for line in lines if "torchattacks/DIFGSM" in line.split("  ")[1])
    assert "(torchattacks is not installed: `robench show torchattacks/DIFGSM`)" in line
    assert not [line for line in lines if "not installed" in line and " torchattacks/" not in line]
    entries = json.loads(cli("list", "attacks", "--format", "json").stdout)
    lacks = {entry["name"]: entry["lacks"] for entry in entries}
    assert (lacks["torchattacks/DIFGSM"], lacks["pgd"]) == ("torchattacks", "")


def test_list_folds_an_entry_where_the_terminal_is_narrow():
    from robench.cli.list import _lines

    entry = {
        "name": "pgd",
        "summary": "word " * 30,
        "paper": "P",
        "norms": "Linf",
        "needs": "scores",
        "from": "x",
    }
    lines = _lines(entry, 10, 6, 60)
    assert len(lines) > 2
    assert max(map(len, lines)) <= 60
    assert len(_lines(entry, 10, 6, 0)) == 1


@pytest.mark.parametrize("name", ["DIFGSM", "DiFgsm", "difgsm"])
def test_a_bare_name_finds_our_attack_whatever_its_capitals(cli, name):
    assert cli("show", name).stdout.startswith("attack difgsm: M-DI2-FGSM")


def test_a_bare_name_of_a_library_is_refused_with_the_whole_one(cli):
    result = cli("show", "eadattack")
    assert result.exit_code == 2
    assert "write 'foolbox/EADAttack'" in result.stderr


def test_show_explains_every_option(cli):
    text = cli("show", "trades").stdout
    assert "  milestones: tuple[int, ...] | None = None\n      epochs after which" in text
    assert "  eps: float = required" in text
    assert "Attributes:" not in text
    lines = text[text.index("Options:") :].split("\n\n")[0].splitlines()[1:]
    options = [at for at, line in enumerate(lines) if line[2] != " "]
    assert len(options) > 20
    assert all(lines[at + 1].startswith("      ") for at in options)
    assert "the probability of applying input diversity" in cli("show", "torchattacks/DIFGSM").stdout


def test_table_of_an_ordinary_run_says_what_to_use(cli, run_folders):
    result = cli("table", "one")
    assert result.exit_code == 2
    assert "Use `robench leaderboard RUN`" in result.stderr


def test_check_counts_in_the_singular_too(cli, tmp_path):
    (tmp_path / "one.yaml").write_text(
        "dataset: digits\nmodels: [{name: a, architecture: digits_cnn}]\n"
        "threats: [{norm: Linf, eps: 0.1, attacks: [fgsm]}]\n"
    )
    assert "one.yaml: valid: 1 model, 1 threat, 1 attack\n" in cli("check", "one.yaml").stdout
    assert "--preflight" in cli("check", "one.yaml").stdout


@pytest.mark.parametrize("command", ["board", "leaderboard", "badge", "compare"])
def test_a_folder_of_tables_is_refused_with_what_to_do(cli, run_folders, command):
    from robench.api import open_run

    tables = run_folders / "tables"
    open_run(run_folders / "one").write(tables)
    assert (tables / "leaderboard.csv").is_file()
    result = cli(command, "tables", *(["one"] if command == "compare" else []))
    assert result.exit_code == 2
    assert "without the records behind them. Evaluate the model with `robench run`" in result.stderr


def test_certify_takes_the_numbers_of_copies_of_its_paper(cli):
    from inspect import signature

    from robench.cli.certify import ALPHA, N0, N
    from robench.judge.certification import certify

    defaults = {name: one.default for name, one in signature(certify).parameters.items()}
    assert (N0, N, ALPHA) == (100, 100_000, 0.001) == (defaults["n0"], defaults["n"], defaults["alpha"])
    text = cli("certify", "--help").stdout
    assert "[100000]" in text
    assert "Certified by bounds" in text
    assert "Certified by smoothing" in text
