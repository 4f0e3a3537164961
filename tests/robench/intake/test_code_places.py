"""Where code that is not ours raised: the last line of its own file, and a traceback of bounded length."""

from pathlib import Path

import pytest

from robench.intake.code_places import LONGEST_TRACEBACK, file_of, place_of, traceback_of
from robench.intake.user_modules import UserModules


def raised(path, name="go"):
    module = UserModules(path.absolute()).load()
    with pytest.raises(Exception) as refusal:  # noqa: PT011 - whatever the code raises
        getattr(module, name)()
    return refusal.value


def test_the_last_line_of_the_file_or_of_one_beside_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = Path("mine.py")
    path.write_text(
        "import json\nfrom helper import deep\ndef go():\n    deep()\ndef far():\n    json.loads('')\n"
    )
    Path("helper.py").write_text("def deep():\n    return {}['nope']\n")
    assert place_of(raised(path), path) == "helper.py, line 2"
    assert place_of(raised(path, "far"), path) == "mine.py, line 6"


def test_what_is_not_known_is_not_told(tmp_path):
    error = ValueError("never raised")
    assert place_of(error, None) == ""
    assert place_of(error, tmp_path / "mine.py") == str(tmp_path / "mine.py")
    assert file_of(len) is None
    assert file_of(test_what_is_not_known_is_not_told) == file_of(raised) == Path(__file__)


def test_a_traceback_of_any_length_is_cut_in_its_middle():
    try:
        try:
            raise KeyError("root")
        except KeyError as error:
            raise ValueError("x" * 10**6) from error
    except ValueError as error:
        text = traceback_of(error)
    assert len(text) < LONGEST_TRACEBACK + 100
    assert "KeyError: 'root'" in text
    assert "characters left out" in text
