"""Outputs that stand for the classes in another order are found; a weak network is not accused of it."""

import pytest
import torch

import robench
from robench.judge.class_order import class_order
from tests.truths import classify, images, small_net

CODE = "class-order"


def network_answers(n, classes, accuracy, seed=0):
    """Return labels, and answers of a network that names so many right and the others by chance."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(classes, (n,), generator=generator)
    others = torch.randint(classes, (n,), generator=generator)
    is_right = torch.rand(n, generator=generator) < accuracy
    return torch.where(is_right, labels, others), labels


def moved(pairs, classes=10):
    order = torch.arange(classes)
    for old, new in pairs:
        order[old] = new
    return order


@pytest.mark.parametrize(
    ("order", "words"),
    [
        (moved([(3, 5), (5, 3)]), "outputs 3 and 5 are exchanged"),
        ((torch.arange(10) + 1) % 10, "1 is added to the number of its output (modulo 10)"),
        (
            moved([(1, 2), (2, 7), (7, 1)]),
            "its outputs stand otherwise: 1 for class 2, 2 for class 7, 7 for class 1",
        ),
    ],
)
def test_the_order_is_told_with_what_it_makes_right(order, words):
    answers, labels = network_answers(400, 10, 0.95)
    doubt = class_order(answers, order[labels], 10)
    assert doubt.code == CODE
    assert words in doubt.evidence
    right = int((answers == labels).sum())
    assert f"of 400 images right, and {right} if" in doubt.evidence


def test_two_classes_exchanged_are_told_of_a_network_that_is_often_wrong():
    answers, labels = network_answers(1000, 10, 0.6)
    doubt = class_order(answers, moved([(3, 5), (5, 3)])[labels], 10)
    assert "outputs 3 and 5 are exchanged" in doubt.evidence


def test_folders_sorted_by_name_are_told():
    names = sorted(str(k) for k in range(12))
    answers, labels = network_answers(600, 12, 0.9)
    doubt = class_order(answers, torch.tensor([names.index(str(k)) for k in range(12)])[labels], 12)
    assert "2 for class 4" in doubt.evidence
    assert "and 5 more" in doubt.evidence


def test_the_right_order_is_not_told():
    assert class_order(*network_answers(400, 10, 0.9), 10) is None


@pytest.mark.parametrize("accuracy", [0.0, 0.1, 0.3, 0.6])
@pytest.mark.parametrize("classes", [2, 10, 100])
def test_a_network_that_guesses_is_not_accused(accuracy, classes):
    for seed in range(20):
        assert class_order(*network_answers(200, classes, accuracy, seed=seed), classes) is None


def test_a_network_that_confuses_two_classes_one_way_is_not_accused():
    answers, labels = network_answers(400, 10, 0.95)
    answers[labels == 5] = 3
    assert class_order(answers, labels, 10) is None


def test_too_few_images_or_too_many_classes_say_nothing():
    answers, labels = network_answers(39, 2, 1.0)
    assert class_order(answers, 1 - labels, 2) is None
    answers, labels = network_answers(40, 2, 1.0)
    assert class_order(answers, 1 - labels, 2) is not None
    assert class_order(answers, 1 - labels, 2001) is None


def test_answers_that_are_no_class_move_nowhere():
    answers, labels = network_answers(400, 10, 0.95)
    answers[::10] = torch.tensor([-1, -2, 10] * 14)[:40]
    doubt = class_order(answers, (labels + 1) % 10, 10)
    assert f"and {int((answers == labels).sum())} if 1 is added" in doubt.evidence


def test_it_puts_a_row_in_doubt_and_class_map_mends_it():
    net = small_net(seed=1)
    x = images(200)
    y = classify(net, x)
    attack = {"pgd": robench.make_attack("pgd", steps=20)}
    data = robench.image_set(x, (y + 1) % 4, classes=4)
    (row,) = robench.benchmark({"net": net}, data, attacks=attack, eps=0.05).leaderboard().to_dict("records")
    assert CODE in row["findings"]
    assert row["rank"] != row["rank"]  # none
    model = robench.wrap(net, name="net", classes=4, class_map=[3, 0, 1, 2])
    (row,) = (
        robench.benchmark({"net": model}, data, attacks=attack, eps=0.05).leaderboard().to_dict("records")
    )
    assert CODE not in row["findings"]
    assert row["clean"] == 1.0
