"""What is told of a model, a training and a run as pairs of texts."""

import dataclasses

from reports.text.facts import card
from tests.reports.board.test_leaderboard import R, record


def test_a_page_does_not_tell_in_which_folder_a_file_of_code_lies():
    target = record("m", "m", "pgd", [R]).target
    details = {"architecture": "/home/me/secret/net.py:make", "head": "linear"}
    facts = dict(card(dataclasses.replace(target, details=details)))
    assert facts["architecture"] == "net.py:make"
    assert facts["head"] == "linear"
