"""Cards are read as they are: a part of another kind counts as missing, and the rest stands."""

import pytest

from robench.record.exchange.model_card import stated_card


@pytest.mark.parametrize("content", [None, "a text", ["a list"], 3])
def test_what_is_no_mapping_says_nothing(content):
    assert stated_card(content) == {}


@pytest.mark.parametrize("part", ["architecture", "defense", "data", "held_out"])
@pytest.mark.parametrize("value", [None, "digits_cnn", ["name"], 3])
def test_a_part_of_another_kind_counts_as_missing(part, value):
    assert stated_card({"name": "net", part: value, "other": value}) == {"name": "net", "other": value}


def test_options_of_another_kind_count_as_missing():
    card = {"defense": {"name": "pgd_training", "options": "many"}, "parameters": "many"}
    assert stated_card(card) == {"defense": {"name": "pgd_training"}, "parameters": "many"}


def test_all_else_is_kept_in_order():
    card = {"held_out": {"accuracy": 0.5}, "name": "net", 1: 2, "defense": {"options": {"eps": 0.3}}}
    assert list(stated_card(card).items()) == list(card.items())
