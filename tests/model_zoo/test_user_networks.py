import sys

import pytest

from model_zoo.user_networks import user_model
from robench.errors import ConfigError

CODE = """
from dataclasses import dataclass
from torch import nn
import pathlib
pathlib.Path(__file__).with_name("ran").touch()

@dataclass
class Setting:
    width: int = 5

def plain():
    return nn.Sequential(nn.Flatten(), nn.Linear(16, 10))

def sized(classes, width=3):
    return nn.Sequential(nn.Flatten(), nn.Linear(16, width), nn.Linear(width, classes))

def broken(classes):
    width = Setting().width
    return nn.Linear(width, classes, unknown=1)

def text():
    return "no module"

made = nn.Linear(1, 1)

def quits():
    raise SystemExit(0)
"""


@pytest.fixture
def file(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    path = tmp_path / "mine.py"
    path.write_text(CODE)
    return path


def make(file, name, trust=True, **options):
    return user_model(f"{file}:{name}", classes=4, options=options, trust_code=trust, where="plan.yaml:3")


def test_nothing_runs_without_trust(file):
    with pytest.raises(ConfigError, match=r"plan\.yaml:3.*--trust-code"):
        make(file, "plain", trust=False)
    assert not file.with_name("ran").exists()


def test_factories_with_and_without_classes(file):
    assert make(file, "plain")[-1].out_features == 10
    network = make(file, "sized", width=6)
    assert network[-1].out_features == 4
    assert network[1].out_features == 6
    assert file.with_name("ran").exists()


def test_errors_inside_name_file_and_line(file):
    line = 1 + CODE.splitlines().index("    return nn.Linear(width, classes, unknown=1)")
    with pytest.raises(ConfigError, match=rf"TypeError.*unknown.*mine\.py, line {line}") as error:
        make(file, "broken")
    assert isinstance(error.value.__cause__, TypeError)
    with pytest.raises(ConfigError, match="SystemExit"):
        make(file, "quits")
    file.write_text("x = 1\ny = 1 / 0\n")
    with pytest.raises(ConfigError, match=r"ZeroDivisionError.*line 2"):
        make(file, "plain")
    file.write_text("x = 1\n\ndef f(:\n")
    with pytest.raises(ConfigError, match=r"SyntaxError.*line 3"):
        make(file, "plain")


def test_what_is_no_factory(file):
    with pytest.raises(ConfigError, match=r"torch\.nn\.Module.*str"):
        make(file, "text")
    with pytest.raises(ConfigError, match="'plain'"):
        make(file, "plan")
    with pytest.raises(ConfigError, match="the file"):
        make(file.with_name("none.py"), "plain")
    with pytest.raises(ConfigError, match="TypeError"):
        make(file, "plain", width=3)
