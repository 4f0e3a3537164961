"""A command that makes many objects leaves the collector as it found it."""

import gc

import pytest

from robench.cli.collector import no_collector


@pytest.fixture
def collector():
    before = gc.isenabled()
    yield
    (gc.enable if before else gc.disable)()


@pytest.mark.parametrize("before", [True, False])
def test_the_collector_is_off_inside_and_as_before_afterwards(collector, before):
    (gc.enable if before else gc.disable)()

    @no_collector()
    def command(fault):
        assert not gc.isenabled()
        if fault:
            raise ValueError(fault)
        return "done"

    assert command("") == "done"
    assert gc.isenabled() is before
    with pytest.raises(ValueError, match="broken"):
        command("broken")
    assert gc.isenabled() is before
