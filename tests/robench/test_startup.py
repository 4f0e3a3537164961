import os
import resource
import subprocess
import sys

import pytest

HEAVY = ("torch", "pandas", "scipy", "sklearn", "art", "torchattacks", "torchvision", "faiss")
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
loaded = [name for name in {heavy} if name in sys.modules]
assert not loaded, loaded
sys.exit(code)
"""


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
        (["check", "digits"], 0),
        (["run", "digits", "--dry-run"], 0),
        (["run", "no-such-suite"], 2),
        (["run", "digits", "--set", "threats.0.eps=x"], 2),
        (["run", "--bogus"], 2),
    ],
)
def test_light_commands_import_nothing_heavy_and_answer_at_once(arguments, code, tmp_path):
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [sys.executable, "-c", CODE.format(heavy=HEAVY), *arguments],
        capture_output=True, text=True, cwd=tmp_path, env={**os.environ, "NO_COLOR": "1"}, check=False,
    )  # fmt: skip
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    # Processor time, for a wall clock would measure the neighbours; half a second is the promise at rest.
    assert after.ru_utime - before.ru_utime < 1.0
