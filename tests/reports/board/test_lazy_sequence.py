from functools import partial

from reports.board.lazy_sequence import Lazily


def entries(asked):
    """Three entries with marks a, b, a; `asked` hears of what is computed."""

    def one(number):
        asked.append(number)
        return number * 10

    return lambda: asked.append("all") or [(mark, partial(one, at)) for at, mark in enumerate("aba")]


def test_nothing_is_computed_before_it_is_asked_for():
    calls = []
    every = Lazily(entries(calls))
    assert not calls
    assert len(every) == 3
    assert every[1] == every[-2] == 10
    assert calls == ["all", 1]
    assert every[:2] == (0, 10)
    assert every == (0, 10, 20)
    assert calls == ["all", 1, 0, 2]
    assert hash(every) == hash((0, 10, 20))


def test_those_of_a_mark_are_chosen_in_order_and_no_other_is_computed():
    calls = []
    every = Lazily(entries(calls))
    assert list(every.chosen(lambda mark: mark == "a")) == [0, 20]
    assert calls == ["all", 0, 2]
    assert list(every.chosen(lambda mark: True)) == [0, 10, 20]
    assert not list(every.chosen(lambda mark: mark == "c"))


def test_whether_there_is_any_need_not_be_computed_where_it_is_known():
    calls = []
    assert Lazily(entries(calls), some=True)
    assert not calls
    assert Lazily(entries(calls))
    assert not Lazily(lambda: [])
