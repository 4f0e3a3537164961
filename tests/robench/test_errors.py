"""What a notebook shows of our errors: the caller's line and the message; elsewhere nothing is hidden."""

import traceback

import numpy as np
import pytest

import robench
from robench.errors import InputError

IMAGES, LABELS = np.zeros((2, 1, 4, 4), dtype=np.float32), np.array([0, 1])


def mistake():
    with pytest.raises(InputError) as info:
        robench.image_set(IMAGES, LABELS[:1])
    return info.value


def test_a_notebook_shows_the_callers_line_and_the_message():
    error = mistake()
    *lines, message = error._render_traceback_()
    assert message == f"InputError: {error}"
    assert len(lines) == 2
    assert __file__ in lines[0]
    assert "robench.image_set(IMAGES" in lines[1]


def test_a_traceback_elsewhere_is_whole():
    error = mistake()
    files = {frame.filename for frame in traceback.extract_tb(error.__traceback__)}
    assert any("/robench/" in name for name in files)


def test_an_error_that_was_not_raised_is_its_message():
    error = InputError(expected="a", got="b")
    assert error._render_traceback_() == ["InputError: expected a, got b."]


def test_ipython_shows_it_so(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    shell = pytest.importorskip("IPython.core.interactiveshell").InteractiveShell()
    shell.run_cell("import robench, numpy as np\nrobench.image_set(np.zeros((2, 1, 4, 4)), np.zeros(1, int))")
    text = capsys.readouterr().out
    assert "InputError: " in text
    assert "robench.image_set(np.zeros" in text
    assert "/robench/api" not in text
