"""How images of a random model fare at the worst of their points, by hand."""

import dataclasses

from robench.record.measures.fresh_outcomes import outcomes
from tests.reports.board.test_leaderboard import B, M, R, record


def drawn(record, stood):
    return dataclasses.replace(record, columns=dataclasses.replace(record.columns, stood=stood))


CLEAN = drawn(record("a", "", "clean", [R, R, M], gradient=""), ["1111", "1000", "0000"])
ATTACK = drawn(record("a", "a", "pgd", [B, R, M]), ["0001", "1111", "0000"])


def test_the_worst_of_attack_and_clean_image_counts():
    assert outcomes([ATTACK]) == {0: "0001", 1: "1111", 2: "0000"}
    assert outcomes([ATTACK], [CLEAN]) == {0: "0001", 1: "1000", 2: "0000"}
    assert outcomes([CLEAN]) == {0: "1111", 1: "1000", 2: "0000"}


def test_a_record_without_draws_says_nothing():
    assert outcomes([record("a", "a", "pgd", [B])]) == {}
    assert outcomes([ATTACK], [record("a", "", "clean", [M] * 3, gradient="")]) == outcomes([ATTACK])
