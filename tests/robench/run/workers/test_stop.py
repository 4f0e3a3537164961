"""What was asked for decides when a run stops."""

import pytest

from robench.run.workers.stop import Stop, StoppedError


@pytest.mark.parametrize(
    ("asked", "idle", "working"),
    [
        ([], False, False),
        ([(10, False)], True, False),  # what is in work is finished
        ([(15, True)], True, True),
        ([(2, False), (2, False)], True, True),
    ],
)
def test_it_stops_when_it_should(asked, idle, working):
    stop = Stop()
    for number, now in asked:
        stop.ask(number, now=now)
    for busy, stops in ((False, idle), (True, working)):
        if stops:
            with pytest.raises(StoppedError) as error:
                stop.check(working=busy)
            assert error.value.exit_code == 128 + asked[-1][0]
            assert isinstance(error.value, KeyboardInterrupt)
        else:
            stop.check(working=busy)
