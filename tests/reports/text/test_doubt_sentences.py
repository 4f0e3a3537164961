"""Doubts as short sentences."""

import re
from pathlib import Path

import pytest

from reports.board.board_types import Doubt
from reports.board.leaderboard import boards
from reports.text.doubt_sentences import (
    attack_and_library,
    doubt_groups,
    headline,
    listed_in_words,
    short_sentence,
)
from tests.reports.board.test_leaderboard import B, R, record

FINDINGS = Path(__file__).parents[3] / "docs" / "findings.md"


@pytest.mark.parametrize(
    ("code", "evidence", "sentence"),
    [
        (
            "black-box-stronger",
            "images crafted on a -> b break 475 more than those crafted on it (p = 1e-09)",
            "its gradients or the loss mislead: transferred images break 475 more",
        ),
        (
            "black-box-stronger",
            "square, without gradients, breaks 12 more than all attacks with them (p = 0.01)",
            "its gradients or the loss mislead: square, which needs none, breaks 12 more",
        ),
        ("noise-stronger", "noise breaks 9 more than pgd (p = 0.01)",
         "random noise breaks more images than an attack: 9 more than pgd"),
        ("library-weaker", "torchattacks/cw breaks 15 fewer images than cw, with the same options",
         "a library's version of an attack breaks fewer images than ours: torchattacks/cw: 15 fewer than cw"),
        ("zero-gradient", "the gradient was zero", "an attack had no gradient to follow on some images"),
        ("of-a-plugin", "what it saw", "what it saw"),
    ],
)  # fmt: skip
def test_a_doubt_is_one_short_sentence(code, evidence, sentence):
    assert short_sentence(Doubt(model="m", code=code, count=1, evidence=evidence, remedy="r")) == sentence


def test_every_code_of_the_documentation_has_a_sentence_of_its_own():
    text = FINDINGS.read_text("utf-8")
    codes = set(re.findall(r"^\| `([a-z]+(?:-[a-z]+)*)` \|", text, re.MULTILINE))
    assert len(codes) > 30
    sentences = {code: headline(code) for code in codes}
    assert not [code for code, sentence in sentences.items() if sentence == code]
    assert len(set(sentences.values())) == len(sentences)
    assert max(map(len, sentences.values())) < 90


def test_groups_name_attacks_with_their_library_and_keep_what_stands_apart():
    records = [
        record("a", "", "clean", [R] * 4, gradient=""),
        record("a", "a", "pgd", [B, R, R, R], findings=("zero-gradient",)),
    ]
    (board,) = boards(records)
    codes = {group.code: group for group in doubt_groups(board, unlifted=True)}
    (case,) = codes["zero-gradient"].cases
    assert case.attacks == (attack_and_library("pgd", board.cells[0].library),)
    assert {group.code for group in doubt_groups(board, unlifted=False)} == {"too-few-images"}


def test_libraries_are_named_as_people_do():
    assert attack_and_library("art/pgd", "adversarial-robustness-toolbox") == "art/pgd"
    assert attack_and_library("mine", "adversarial-robustness-toolbox") == "mine (ART)"


def test_names_in_words():
    assert listed_in_words(["a"]) == "a"
    assert listed_in_words(["a", "b", "c", "d"]) == "a, b, c and d"
    assert listed_in_words("abcdef") == "a, b, c and 3 more"
