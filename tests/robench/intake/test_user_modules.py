"""A user's files: found beside each other, kept apart from all others, known by their source."""

import os
import sys
import time

import pytest
import torch

from model_zoo.user_networks import user_model
from robench.errors import ConfigError
from robench.intake.user_modules import UserModules, source_digest

NET = """
import torch
from torch import nn
{imports}

class M(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(4, 3)
    def forward(self, x):
        {body}

def make(): return M()
"""

LAZY = "def lazily():\n    import blocks\n    return blocks.SCALE"
PACKAGE = {"pkg/__init__.py": "", "pkg/a.py": "from . import b", "pkg/b.py": "from ..top import SCALE"}
BODY = "return self.fc(x) * {}"


def write(folder, name, text):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def make(file, factory="make", **options):
    return user_model(f"{file}:{factory}", classes=3, options=options, trust_code=True, where="models[0]")


@pytest.mark.parametrize(
    ("files", "imports", "body"),
    [
        ({"blocks.py": "SCALE = {v}"}, "import blocks", "blocks.SCALE"),
        ({"blocks.py": "SCALE = {v}"}, "from blocks import SCALE as S", "S"),
        ({"blocks.py": "SCALE = {v}"}, "from blocks import *", "SCALE"),
        ({"blocks.py": "SCALE = {v}"}, "from . import blocks", "blocks.SCALE"),
        ({"blocks.py": "SCALE = {v}"}, "from .blocks import SCALE", "SCALE"),
        ({"blocks.py": "SCALE = {v}"}, LAZY, "lazily()"),
        ({"one.py": "import two", "two.py": "SCALE = {v}"}, "import one", "one.two.SCALE"),
        ({"one.py": LAZY, "blocks.py": "SCALE = {v}"}, "import one", "one.lazily()"),
        ({"pkg/__init__.py": "", "pkg/sub.py": "SCALE = {v}"}, "import pkg.sub", "pkg.sub.SCALE"),
        ({"p/__init__.py": "from .sub import SCALE", "p/sub.py": "SCALE = {v}"}, "import p", "p.SCALE"),
        ({"pkg/sub.py": "SCALE = {v}"}, "from pkg import sub", "sub.SCALE"),
        ({**PACKAGE, "top.py": "SCALE = {v}"}, "from pkg.a import b", "b.SCALE"),
        ({"json.py": "SCALE = {v}"}, "import json", "json.SCALE"),
        ({"attacks.py": "SCALE = {v}"}, "import attacks", "attacks.SCALE"),
    ],
)  # fmt: skip
def test_what_lies_beside_is_found_counted_and_kept_apart(tmp_path, files, imports, body):
    x, networks, digests = torch.ones(2, 4), [], []
    for place, value in (("a", 1.0), ("b", 2.0), ("a", 3.0)):
        for name, text in files.items():
            write(tmp_path / place, name, text.format(v=value))
        file = write(tmp_path / place, "net.py", NET.format(imports=imports, body=BODY.format(body)))
        net = make(file)
        net.fc.weight.data.fill_(1.0)
        net.fc.bias.data.zero_()
        networks.append((net, 4 * value))
        digests.append(source_digest(file))
    for net, expected in networks[1:]:
        assert net(x).tolist() == [[expected] * 3] * 2
    assert len(set(digests)) == 3
    own = [n for n, m in sys.modules.items() if str(tmp_path) in str(getattr(m, "__file__", None))]
    assert own
    assert all(name.startswith("robench_user_") for name in own)
    import json

    assert json.loads("1") == 1


def test_code_edited_within_the_resolution_of_the_clock_is_run_anew(tmp_path):
    file = write(tmp_path, "net.py", NET.format(imports="import blocks", body=BODY.format("blocks.SCALE")))
    sibling = write(tmp_path, "blocks.py", "SCALE = 1.0\n")
    stamp = time.time() - 100
    os.utime(sibling, (stamp, stamp))
    first = UserModules(file).load().blocks.SCALE
    sibling.write_text("SCALE = 2.0\n")
    os.utime(sibling, (stamp, stamp))  # same size, same time: a cache of bytecode would not notice
    assert (first, UserModules(file).load().blocks.SCALE) == (1.0, 2.0)


def test_the_digest_is_of_the_code_and_not_of_its_place(tmp_path):
    one = write(tmp_path / "a", "net.py", "import blocks\n")
    write(tmp_path / "a", "blocks.py", "x = 1\n")
    write(tmp_path / "a", "unused.py", "y = 1\n")
    two = write(tmp_path / "b", "other.py", "import blocks\n")
    write(tmp_path / "b", "blocks.py", "x = 1\n")
    assert source_digest(one) == source_digest(two)
    write(tmp_path / "a", "unused.py", "y = 2\n")
    assert source_digest(one) == source_digest(two)
    write(tmp_path / "a", "blocks.py", "x = 2\n")
    assert source_digest(one) != source_digest(two)


def test_modules_of_the_process_are_not_made_twice(tmp_path):
    import robench.errors

    file = write(tmp_path, "net.py", "import robench.errors as e\nimport torch as t\n")
    module = UserModules(file).load()
    assert module.e is robench.errors
    assert module.t is torch


def test_an_instance_at_module_level_is_copied(tmp_path):
    file = write(tmp_path, "net.py", "from torch import nn\nmodel = nn.Linear(4, 3)\n")
    one, two = make(file, "model"), make(file, "model")
    assert one.weight is not two.weight


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("import nothing_of_that_name", ["ModuleNotFoundError", "nothing_of_that_name", "line 1"]),
        ("from blocks import x", ["blocks", "line 1"]),
        ("def make(): pass", ["NoneType", "Return the network"]),
        ("from torch import nn\ndef make(): return nn.Linear", ["the class Linear", "Return an instance"]),
        ("def make(): return {'a': 1}", ["dict", "load_state_dict"]),
        ("import torch\ndef make(): return torch.zeros(3)", ["Tensor", "makes the network"]),
        ("def make(width): return None", ["TypeError", "width"]),
        ("from torch import nn\ndef make(): return nn.LazyLinear(3)", ["lazy", "weight"]),
        ("import sys\ndef make(): sys.exit(0)", ["SystemExit"]),
        ("make = 3", ["int"]),
    ],
)
def test_refused_in_one_sentence(tmp_path, code, words):
    file = write(tmp_path, "net.py", code)
    with pytest.raises(ConfigError) as refusal:
        make(file)
    for word in words:
        assert word in str(refusal.value)


def test_an_interruption_passes(tmp_path):
    file = write(tmp_path, "net.py", "raise KeyboardInterrupt\n")
    with pytest.raises(KeyboardInterrupt):
        make(file)
