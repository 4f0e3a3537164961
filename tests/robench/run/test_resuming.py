"""A training and a run that go on say where."""

import pytest

from robench.plan.config import from_dict
from robench.run.execute import execute
from robench.run.progress import Quiet
from robench.run.settings import Environment

PLAN = {
    "name": "r",
    "dataset": {"name": "digits", "limit": 6},
    "models": [
        {
            "name": "net",
            "architecture": "digits_cnn",
            "train": {"defense": {"natural": {"epochs": 3}}, "data": {"limit": 100}},
        }
    ],
    "threats": [{"norm": "Linf", "eps": 0.1, "attacks": ["fgsm"]}],
}


class Ear(Quiet):
    def __init__(self, stop_after=None):
        self.stages, self.rows, self.stop_after = [], [], stop_after

    def stage(self, text):
        self.stages.append(text)

    def training(self, row):
        self.rows.append(row)
        if "step" not in row and row["epoch"] == self.stop_after:
            raise KeyboardInterrupt


def done(folder, ear):
    return execute(
        from_dict(PLAN), folder, config_text="", environment=Environment(device="cpu"), reporter=ear
    )


@pytest.mark.thorough
def test_a_training_that_goes_on_says_after_which_epoch(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        done(tmp_path, Ear(stop_after=2))
    again = Ear()
    done(tmp_path, again)
    assert "training net: goes on after epoch 2" in again.stages
    assert [row["epoch"] for row in again.rows if "step" not in row] == [3]


def test_a_training_that_begins_says_nothing_of_it(tmp_path):
    ear = Ear()
    done(tmp_path, ear)
    assert not any("goes on" in text for text in ear.stages)
