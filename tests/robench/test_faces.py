"""What a package's face promises: its names, and nothing else, each from its module."""

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

from robench.faces import face

ROOMS = sorted(path.parent.name for path in (Path(__file__).parents[2] / "robench").glob("*/__init__.py"))
FACES = ["robench", *(f"robench.{room}" for room in ROOMS if room != "cli")]


@pytest.mark.parametrize("package", FACES)
def test_every_public_name_is_there_and_a_star_gives_these(package):
    module = importlib.import_module(package)
    assert module.__all__ == sorted(module.__all__)
    assert set(module.__all__) <= set(dir(module))
    names = {}
    exec(f"from {package} import *", names)
    assert set(names) - {"__builtins__"} == set(module.__all__)
    assert all(getattr(module, name) is names[name] for name in module.__all__)


def test_a_face_keeps_what_every_module_has():
    import robench

    assert {"__version__", "__file__", "wrap"} <= set(dir(robench))
    with pytest.raises(AttributeError, match="'robench' has no attribute 'nothing'"):
        _ = robench.nothing


def test_a_name_that_is_a_module_too_is_refused(tmp_path):
    file = tmp_path / "__init__.py"
    file.write_text("if TYPE_CHECKING:\n    from pkg.thing import other, thing\n")
    with pytest.raises(ValueError, match="thing"):
        face("pkg", str(file))


@pytest.mark.parametrize(
    "package",
    ["robench", "robench.plan", "robench.record", "robench.model", "robench.attack", "robench.bounds"],
)
def test_importing_a_face_imports_nothing_heavy(package):
    code = f"import sys, {package}; assert not {{'torch', 'numpy', 'pydantic', 'scipy'}} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])
