"""The same weights are one model on a board, whether a run trained them or read them from a file."""

from dataclasses import replace

import pytest

from reports.board.leaderboard import boards
from robench.model.interface import Model
from tests.records import changed
from tests.reports.board.test_leaderboard import B, R, record
from tests.truths import small_net

PLAIN = {"architecture": "net.py:make", "code_sha256": "c", "head": "linear"}


def run(fingerprint, attack, statuses, **details):
    """Return the records of one run of a model `m`."""
    target = {"fingerprint": fingerprint, "details": {**PLAIN, **details}}
    source = {"fingerprint": fingerprint}
    clean_record = record("m", "", "clean", [R] * 120, gradient="")
    attack_record = record("m", "m", attack, statuses)
    return [changed(clean_record, target=target), changed(attack_record, target=target, source=source)]


def rows_of(*runs):
    (board,) = (one for one in boards([each for own in runs for each in own]) if one.norm)
    return [(row.model, row.worst_case.count) for row in board.rows]


WEAK = [R] * 110 + [B] * 10
STRONG = [B] * 50 + [R] * 70


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"checkpoint": "w", "training": "trades"}, {"checkpoint": "w", "training": "checkpoint"}),
        (
            {"checkpoint": "pt", "training": "checkpoint", "network_sha256": "n"},
            {"checkpoint": "safetensors", "training": "checkpoint", "network_sha256": "n"},
        ),
        (
            {"head": "wnll", "training": "trades", "network_sha256": "n"},
            {"head": "wnll", "training": "checkpoint", "network_sha256": "n"},
        ),
    ],
)
def test_nobody_escapes_what_was_tried_on_the_same_weights(first, second):
    assert rows_of(run("a", "pgd", WEAK, **first), run("b", "apgd", STRONG, **second)) == [("m", 60)]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"checkpoint": "w", "training": "trades"}, {"checkpoint": "v", "training": "trades"}),
        ({"checkpoint": "w", "normalize": "x"}, {"checkpoint": "w", "normalize": "y"}),
        ({"head": "wnll", "checkpoint": "w"}, {"head": "wnll", "checkpoint": "w", "m": 30}),
        ({"head": "wnll", "network_sha256": "n"}, {"head": "wnll", "network_sha256": "o"}),
    ],
)
def test_other_weights_or_settings_are_another_model(first, second):
    assert len(rows_of(run("a", "pgd", WEAK, **first), run("b", "apgd", STRONG, **second))) == 2


def test_the_contents_of_a_model_depend_on_its_options_and_not_on_its_origin():
    one, other = (
        Model(name="m", net=small_net(seed=1).net, classes=4, details={"training": word}) for word in "ab"
    )
    assert one.fingerprint() != other.fingerprint()
    assert one.contents(without={"training"}) == other.contents(without={"training"})
    options = replace(one, details={"training": "a", "m": 30})
    assert options.contents(without={"training"}) != one.contents(without={"training"})
    third = Model(name="m", net=small_net(seed=2).net, classes=4)
    assert third.contents(without={"training"}) != one.contents(without={"training"})
