"""What is a run folder, and what is said of everything else."""

import pytest

from robench.errors import ConfigError
from robench.record.folder import MOST_NAMED, check_run, is_run


def refusal(folder):
    with pytest.raises(ConfigError) as error:
        check_run(folder)
    assert error.value.expected == "a run folder"
    return error.value


@pytest.mark.parametrize("mark", ["units/", "run.json", "plan.json", "finished.txt"])
def test_any_trace_of_a_run_makes_it_one(tmp_path, mark):
    path = tmp_path / mark
    path.mkdir() if mark.endswith("/") else path.write_text("")
    assert is_run(tmp_path)
    check_run(tmp_path)


def test_what_is_there_instead_is_said(tmp_path):
    (tmp_path / "file").write_text("")
    assert refusal(tmp_path / "absent").got == "nothing of that name"
    assert refusal(tmp_path / "file").got == "a file"
    assert refusal(tmp_path).got == "a folder without `units`"
    assert "`robench run` printed last" in refusal(tmp_path).do


def test_runs_that_lie_in_it_are_named(tmp_path):
    for number in range(MOST_NAMED + 2):
        (tmp_path / f"run-{number}" / "units").mkdir(parents=True)
    (tmp_path / "data").mkdir()
    do = refusal(tmp_path).do
    assert str(tmp_path / "run-0") in do
    assert str(tmp_path / "data") not in do
    assert do.endswith("and 2 more")
