"""A refused command leaves no folder, and takes nothing away that was there before."""

import pytest

from robench.errors import ConfigError
from robench.record.new_folder import prepared
from robench.record.store import Store


def refused(root, *, write=None):
    with pytest.raises(ConfigError):
        begin(root, write)


def begin(root, write):
    with prepared(Store(root)):
        (root / ".lock").touch()
        if write:
            (root / write).parent.mkdir(exist_ok=True)
            (root / write).write_text("kept")
        raise ConfigError(expected="a network", got="none")


def test_a_folder_that_was_made_for_a_refused_command_goes_again_with_those_around_it(tmp_path):
    refused(tmp_path / "runs" / "deep" / "mine")
    assert list(tmp_path.iterdir()) == []


def test_what_was_there_before_stays(tmp_path):
    (tmp_path / "runs" / "mine" / "models").mkdir(parents=True)
    refused(tmp_path / "runs" / "mine")
    assert [path.name for path in (tmp_path / "runs" / "mine").iterdir()] == ["models"]


@pytest.mark.parametrize("name", ["models/w", "errors/x.json", "plan.json", "leases/run-1.lease"])
def test_a_folder_in_which_anything_lies_stays(tmp_path, name):
    refused(tmp_path / "mine", write=name)
    assert (tmp_path / "mine" / name).read_text() == "kept"
    assert (tmp_path / "mine" / "units").is_dir()


def test_a_folder_stays_where_nothing_was_refused(tmp_path):
    with prepared(Store(tmp_path / "mine")):
        pass
    assert (tmp_path / "mine" / "units").is_dir()
