"""What a page says of a run in words."""

import pytest

from reports.board.leaderboard import boards
from reports.board.run_folder import Run
from reports.text.sentences import summary
from tests.reports.html.synthetic import made


@pytest.mark.parametrize(
    ("status", "said"),
    [
        ("finished", "The run is finished."),
        ("failed jobs", "some of its jobs failed."),
        ("part", "one of several parts."),
        ("interrupted", "The run was interrupted."),
        ("running", "is under way, or was killed."),
        ("a state of a later version", "The run is a state of a later version."),
        ("", "1 attack, 4 images."),
    ],
)
def test_the_state_of_a_run_is_a_sentence(status, said):
    records = (made("net", "clean", 0, 4, 4, seed=1), made("net", "pgd", 0, 4, 4, seed=1))
    text = summary(Run(records=records, facts={"status": status}), boards(records))
    assert text.endswith(said)
    assert "failed jobs." not in text
