import json
import os
import subprocess
import sys

import pytest

HEAVY = (
    "torch", "torchvision", "numpy", "scipy", "pandas", "sklearn", "matplotlib", "PIL", "art", "torchattacks",
    "faiss", "safetensors", "sympy", "networkx", "tqdm", "jinja2",
)  # fmt: skip
MOST = 700
"""Most modules a light command may load; `list`, the widest, loads about 500, and numpy alone is 130."""
CODE = """
import json, os, sys
import robench.cli
for number, arguments in enumerate(json.loads(sys.argv[1])):
    if os.fork():  # every command begins with the command line imported, and nothing else
        os.wait()
        continue
    for descriptor, name in ((1, "out"), (2, "err")):
        os.dup2(os.open(f"{number}.{name}", os.O_CREAT | os.O_WRONLY), descriptor)
    sys.argv = ["robench", *arguments]
    code = 0
    try:
        if arguments:
            robench.cli.main()
    except SystemExit as exit:
        code = exit.code
    loaded = sorted(name.partition(".")[0] for name in sys.modules)
    with open(f"{number}.json", "w") as file:
        json.dump([code, loaded], file)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)
"""


COMMANDS = [
    ([], 0),
    (["--help"], 0),
    (["--version"], 0),
    (["run", "--help"], 0),
    (["table", "--help"], 0),
    (["cite", "--help"], 0),
    (["list"], 0),
    (["list", "attacks", "--format", "json"], 0),
    (["show", "pgd"], 0),
    (["show", "torchattacks/DIFGSM"], 0),
    (["show", "EADAttack"], 2),
    (["show", "digits"], 0),
    (["show", "wnll"], 0),
    (["leaderboard", "nowhere"], 2),
    (["run", "digits", "--set", "models.0.train.defense=pgd_trainning"], 2),
    (["check", "digits"], 0),
    (["run", "digits", "--dry-run"], 0),
    (["run", "no-such-suite"], 2),
    (["run", "digits", "--set", "threats.0.attacks=[{torchattacks/PGD: {alpa: 1}}]"], 2),
    (["run", "digits", "--set", "threats.0.eps=x"], 2),
    (["run", "--bogus"], 2),
]
"""What may be asked without waiting, and the exit code."""


INTERRUPTED = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
class Late:
    def find_spec(name, *_):
        if name == {module!r}:
            signal.raise_signal(signal.SIGINT)
def late(*args, **options):
    signal.raise_signal(signal.SIGINT)
sys.meta_path.insert(0, Late)
if {module!r} == "making the context":
    import typer.core
    typer.core.TyperGroup.make_context = late
sys.argv = ["robench", "list", "attacks"]
from robench.cli import main
main()
"""


@pytest.mark.parametrize(
    "module", ["robench.cli.app", "typer", "robench.cli.list", "making the context", "robench.catalogue"]
)
def test_ctrl_c_before_a_command_begins_is_answered_in_words(module, tmp_path):
    process = subprocess.run(
        [sys.executable, "-c", INTERRUPTED.format(module=module)],
        capture_output=True, text=True, cwd=tmp_path, env={**os.environ, "NO_COLOR": "1"}, check=False,
    )  # fmt: skip
    assert (process.returncode, process.stdout) == (130, "")
    assert process.stderr == "error: Interrupted.\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with what every command wrote, its exit code and the modules it loaded."""
    folder = tmp_path_factory.mktemp("commands")
    process = subprocess.run(
        [sys.executable, "-c", CODE, json.dumps([arguments for arguments, _ in COMMANDS])],
        capture_output=True, text=True, cwd=folder, env={**os.environ, "NO_COLOR": "1"}, check=False,
    )  # fmt: skip
    assert process.returncode == 0, process.stderr
    return folder


@pytest.mark.parametrize("number", range(len(COMMANDS)), ids=[" ".join(words) for words, _ in COMMANDS])
def test_light_commands_import_nothing_heavy(number, folder):
    errors = (folder / f"{number}.err").read_text()
    assert (folder / f"{number}.json").exists(), errors
    code, modules = json.loads((folder / f"{number}.json").read_text())
    assert code == COMMANDS[number][1], errors
    assert not set(HEAVY) & set(modules)
    assert len(modules) < MOST
    assert "Traceback" not in errors


@pytest.mark.parametrize("wish", ["ACTIVE", ""])
def test_threads_of_a_command_sleep_while_they_wait_unless_the_user_says_otherwise(monkeypatch, wish):
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    if wish:
        monkeypatch.setenv("OMP_WAIT_POLICY", wish)
    code = """
import os, sys
from robench.cli import main
sys.argv = ["robench", "--version"]
try:
    main()
finally:
    print(os.environ["OMP_WAIT_POLICY"])
"""
    words = [sys.executable, "-P", "-c", code]
    output = subprocess.run(words, check=True, capture_output=True, text=True).stdout
    assert output.split()[-1] == (wish or "PASSIVE")
