"""What a line of progress says."""

from __future__ import annotations

import pytest

from robench.cli.reporters import PlainReporter, training_text


def test_an_epoch_is_told_with_accuracies_and_how_many_images_they_are_of():
    row = {
        "epoch": 3.0, "stage": 2.0, "loss": 0.41234, "learning_rate": 0.05, "train_robust_accuracy": 0.5,
        "validation_accuracy": 0.9123, "validation_robust_accuracy": 0.4, "validation_images": 3000,
        "best": 1.0, "seconds": 12.34,
    }  # fmt: skip
    assert training_text(row) == (
        "epoch 3, stage 2, loss 0.4123, learning rate 0.05, train under attack 50.0 %, "
        "held out 91.2 % (n 3000), under attack 40.0 %, best so far, 12.3 s"
    )


@pytest.mark.parametrize(
    ("row", "text"),
    [
        ({"epoch": 1.0, "step": 10, "steps": 40, "loss": 2.3}, "epoch 1, step 10, steps 40, loss 2.3"),
        ({"epoch": 1.0, "validation_accuracy": 0.5, "validation_images": 4, "best": 0.0},
         "epoch 1, held out 50.0 % (n 4)"),
        ({"epoch": 1.0, "my_own": 7.0}, "epoch 1, my own 7"),
    ],
)  # fmt: skip
def test_what_was_not_measured_is_not_mentioned(row, text):
    assert training_text(row) == text


def test_steps_are_told_now_and_then_and_epochs_always(capsys):
    plain = PlainReporter()
    plain.told = float("-inf")
    for step in (10, 20, 30):
        plain.training({"epoch": 1.0, "step": step, "steps": 30})
    plain.training({"epoch": 1.0, "loss": 1.0})
    plain.finding("net: robust overfitting")
    assert capsys.readouterr().err.splitlines() == [
        "  epoch 1, step 10, steps 30",
        "  epoch 1, loss 1",
        "! net: robust overfitting",
    ]
