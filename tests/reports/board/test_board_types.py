"""Transfers over all attacks are those of the whole list, and asking for them computes no other."""

from reports.board.leaderboard import boards
from tests.reports.board.test_leaderboard import B, R, record

RECORDS = [
    record(target, source, attack, [R, B, R, R] if (target, attack) == ("b", "pgd") else [R, R, R, B])
    for source in "ab"
    for attack in ("pgd", "cw")
    for target in "ab"
]


def test_transfers_over_all_attacks_are_those_of_the_whole_list():
    (board,) = boards(RECORDS)
    over_all = list(board.combined_transfers())
    assert not board.transfers._done  # nothing but these was computed
    assert over_all == [one for one in board.transfers if not one.attack]
    shares = {(one.source, one.target): one.robust.count for one in over_all}
    assert shares == {("a", "a"): 3, ("a", "b"): 2, ("b", "a"): 3, ("b", "b"): 2}


def test_a_board_of_white_box_attacks_alone_has_no_transfers():
    (board,) = boards([one for one in RECORDS if one.source.name == one.target.name])
    assert not board.transfers
    assert not list(board.combined_transfers())
