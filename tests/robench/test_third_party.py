"""Somebody else's package, installed by pip, is found, checked and run like ours, as docs/plugins.md says."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.robench.cli.test_cli import record

EXAMPLE = Path(__file__).parents[1] / "third_party" / "robench_example"
GUIDE = Path(__file__).parents[2] / "docs" / "plugins.md"
OURS = {
    "attacks": "random_points",
    "defenses": "gaussian_training",
    "models": "tiny_mlp",
    "datasets": "stripes",
}
CONFIGURATION = """
name: example
dataset: {name: stripes, limit: 20}
models:
  - name: tiny
    architecture: {tiny_mlp: {width: 8}}
    train: {defense: {gaussian_training: {epochs: 3}}}
threats:
  - {norm: Linf, eps: 0.3, attacks: [{random_points: {tries: 5}}]}
"""


def install(source, target):
    """Install a package into a folder, as a user would, but from nothing except what is here."""
    copy = target.parent / f"source_of_{target.name}"
    shutil.copytree(source, copy)  # a build leaves files beside its source
    command = ["install", "-q", "--no-index", "--no-deps", "--no-build-isolation", "--target", str(target)]
    options = ["--no-compile", "--disable-pip-version-check", "--no-cache-dir"]
    subprocess.run([sys.executable, "-m", "pip", *command, *options, str(copy)], check=True)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    target = tmp_path_factory.mktemp("example") / "site"
    install(EXAMPLE, target)
    return target


@pytest.fixture
def robench(site, tmp_path):
    def call(*arguments, places=(site,)):
        path = os.pathsep.join(map(str, (*places, *filter(None, [os.environ.get("PYTHONPATH")]))))
        environment = {**os.environ, "PYTHONPATH": path, "NO_COLOR": "1", "OMP_NUM_THREADS": "1"}
        return subprocess.run(
            [sys.executable, "-m", "robench", *arguments],
            capture_output=True, text=True, cwd=tmp_path, env=environment, check=False,
        )  # fmt: skip

    return call


@pytest.mark.thorough
def test_list_shows_the_plugins_and_whose_they_are(robench):
    entries = json.loads(robench("list", "--format", "json").stdout)
    own_entries = {e["kind"]: e for e in entries if e["from"] == "robench-example"}
    assert {kind: entry["name"] for kind, entry in own_entries.items()} == OURS
    assert all(entry["paper"] and entry["summary"] for entry in own_entries.values())
    (line,) = [line for line in robench("list", "attacks").stdout.splitlines() if "random_points" in line]
    assert "(from robench-example)" in line


@pytest.mark.thorough
def test_the_attack_keeps_the_laws(robench):
    process = robench("check", "attacks:random_points", "--set", "tries=5")
    assert process.returncode == 0, process.stdout + process.stderr
    assert process.stdout.startswith("attacks:random_points: Random points, from robench-example\n")
    assert re.search(r"^\d\d ok, 0 failed, \d not applicable$", process.stdout, re.MULTILINE)


@pytest.mark.thorough
def test_a_run_uses_all_four_and_gives_a_leaderboard(robench, tmp_path):
    (tmp_path / "example.yaml").write_text(CONFIGURATION)
    process = robench("run", "example.yaml", "--device", "cpu")
    assert process.returncode == 0, process.stdout + process.stderr
    board = (tmp_path / "runs" / "example" / "leaderboard.md").read_text("utf-8")
    assert "Stripes" in board
    assert "tiny" in board
    assert "random_points" in board
    card = next((tmp_path / "runs" / "example").rglob("*.card.yaml")).read_text("utf-8")
    assert "gaussian_training" in card


NAMED = """
schema: 1
dataset: {name: digits, limit: 20}
models: [{name: net, architecture: digits_cnn}]
threats: [{norm: Linf, eps: 0.1, attacks: [broken]}]
"""


def faulty(tmp_path, name, entry):
    """Return a folder with a distribution that claims one attack."""
    place = tmp_path / name
    info = place / f"{name.replace('-', '_')}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[robench.attacks]\n{entry}\n")
    return place


@pytest.mark.thorough
def test_two_packages_that_claim_one_name_are_named(robench, site, tmp_path):
    rival = faulty(tmp_path, "rival-attacks", "random_points = json:loads")
    listing = robench("list", "attacks", places=(site, rival))
    assert listing.returncode == 0
    (line,) = [line for line in listing.stdout.splitlines() if "  random_points" in line]
    process = robench("check", "attacks:random_points", places=(site, rival))
    assert process.returncode == 2
    for message in (line, process.stderr):
        assert "one owner of the attack 'random_points'" in message
        assert "rival-attacks and robench-example" in message
    assert "Uninstall one of them" in process.stderr


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ("broken = no_such_module:Attack", "missing module 'no_such_module'"),
        ("broken = json:NoSuchAttack", "no_such_package"),
        ("broken = json:dumps", "to be a dataclass of options"),
        ("broken = json:JSONDecoder", "to be a dataclass of options"),
    ],
)
def test_a_broken_package_says_so_and_hides_nothing(robench, tmp_path, entry, words):
    place = faulty(tmp_path, "no_such_package", entry)
    listing = robench("list", "attacks", places=(place,))
    assert listing.returncode == 0, listing.stderr
    (line,) = [line for line in listing.stdout.splitlines() if line.startswith("  broken")]
    assert words in line
    assert "  pgd " in listing.stdout
    (tmp_path / "plan.yaml").write_text(NAMED)
    for command in (("check", "attacks:broken"), ("show", "broken"), ("check", str(tmp_path / "plan.yaml"))):
        process = robench(*command, places=(place,))
        assert process.returncode == 2, process.stderr
        assert words in " ".join(process.stderr.split())
        assert "Traceback" not in process.stderr


def blocks(language):
    """Return the guide's blocks that are files of the example, by their path."""
    matches = re.findall(
        rf"<!-- file: (\S+) -->\n```{language}\n(.*?)```", GUIDE.read_text("utf-8"), re.DOTALL
    )
    return dict(matches)


def test_the_guide_shows_the_example_as_it_is():
    files = blocks("python") | blocks("toml")
    assert len(files) == 5
    for path, text in files.items():
        assert (EXAMPLE / path).read_text("utf-8") == text, path


def test_the_guides_configuration_is_the_one_that_was_run():
    (text,) = re.findall(r"```yaml\n(# example.yaml.*?)```", GUIDE.read_text("utf-8"), re.DOTALL)
    assert text.split("\n", 1)[1].strip() == CONFIGURATION.strip()


def runnable():
    """Return what the guide's other blocks define, by name."""
    pattern = r"<!-- example: tests run this block -->\n```python\n(.*?)```"
    names = {"__name__": "__main__"}
    for code in re.findall(pattern, GUIDE.read_text("utf-8"), re.DOTALL):
        exec(compile(code, str(GUIDE), "exec"), names)
    return names


@pytest.mark.thorough
def test_the_guides_other_plugins_keep_the_laws(tmp_path, monkeypatch):
    from robench.conformance import check_defense, check_head, failures

    guide = runnable()
    assert not failures(check_defense(guide["Brightness"]()))
    assert not failures(check_head(guide["Cautious"]()))
    (path,) = guide["Lines"]()([record("k", name="mine")], tmp_path)
    assert path.read_text() == "mine pgd {'robust': 4}\n"
    monkeypatch.syspath_prepend(str(EXAMPLE / "src"))
    guide["test_it_keeps_the_laws"]()
