"""Which published numbers speak of a board."""

import dataclasses
import json

import pytest

from reports.board.leaderboard import boards
from reports.html.site.published_table import covers
from robench.record.exchange.published_numbers import read_published
from tests.reports.board.test_leaderboard import R, record
from tests.robench.record.exchange.test_published_numbers import INFO


@pytest.mark.parametrize(
    ("published", "own", "same"),
    [
        ("cifar10", "CIFAR-10", True),
        ("cifar10", "CIFAR-10 (JPEG copy)", True),
        ("cifar10", "CIFAR-100", False),
        ("cifar10", "CIFAR-10-C", False),
        ("cifar100", "CIFAR-10", False),
        ("", "", False),
    ],
)
def test_the_data_set_is_the_same_and_not_one_whose_name_goes_on(tmp_path, published, own, same):
    file = tmp_path / "Doe.json"
    file.write_text(json.dumps(INFO))
    (number,) = read_published([f"Linf={file}"])
    board = boards([record("a", "", "clean", [R], gradient=""), record("a", "a", "pgd", [R])])[0]
    board = dataclasses.replace(board, dataset=own, eps=number.eps)
    number = dataclasses.replace(number, dataset=published)
    assert covers(number, board) == same
    assert not covers(number, dataclasses.replace(board, norm="L2"))
