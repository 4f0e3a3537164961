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
import sys
sys.argv = ["robench", *sys.argv[1:]]
import robench.cli
code = 0
try:
    if sys.argv[1:]:
        robench.cli.main()
except SystemExit as exit:
    code = exit.code
roots = {{name.partition(".")[0] for name in sys.modules}}
loaded = [name for name in {heavy} if name in roots]
assert not loaded, loaded
assert len(sys.modules) < {most}, len(sys.modules)
sys.exit(code)
"""


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
    "module", ["robench.cli.app", "typer", "robench.cli.certify", "making the context", "robench.catalogue"]
)
def test_ctrl_c_before_a_command_begins_is_answered_in_words(module, tmp_path):
    process = subprocess.run(
        [sys.executable, "-c", INTERRUPTED.format(module=module)],
        capture_output=True, text=True, cwd=tmp_path, env={**os.environ, "NO_COLOR": "1"}, check=False,
    )  # fmt: skip
    assert (process.returncode, process.stdout) == (130, "")
    assert process.stderr == "error: Interrupted.\n"


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
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
    ],
)
def test_light_commands_import_nothing_heavy(arguments, code, tmp_path):
    process = subprocess.run(
        [sys.executable, "-c", CODE.format(heavy=HEAVY, most=MOST), *arguments],
        capture_output=True, text=True, cwd=tmp_path, env={**os.environ, "NO_COLOR": "1"}, check=False,
    )  # fmt: skip
    assert process.returncode == code, process.stderr
    assert "Traceback" not in process.stderr
