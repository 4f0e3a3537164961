"""What decides the weights of a training keeps its form: earlier trainings are found by its hash."""

import json

from robench.plan.spec import Choice, DataSpec
from robench.run.models.training_identity import TrainingIdentity

PLAIN = {
    "schema": 1,
    "architecture": {"name": "digits_cnn", "options": {}},
    "buffer": None,
    "normalize": [[0.13], [0.31]],
    "defense": "natural",
    "options": {"epochs": 1},
    "data": {
        "dataset": {"name": "digits", "options": {}},
        "split": "train",
        "limit": 100,
        "subset": "first",
    },
    "shape": [1, 8, 8],
    "classes": 10,
    "seed": 0,
}


def identity(**code):
    return TrainingIdentity(
        architecture=Choice(name="digits_cnn", where="plan.yaml:3"),
        buffer=None,
        normalize=((0.13,), (0.31,)),
        defense="natural",
        options={"epochs": 1},
        data=DataSpec(dataset=Choice(name="digits"), split="train", limit=100),
        shape=(1, 8, 8),
        classes=10,
        seed=0,
        code=code,
    )


def test_it_is_written_as_before_and_has_the_hash_it_had():
    assert identity().to_json() == json.loads(json.dumps(identity().to_json())) == PLAIN
    assert identity().digest() == "1fe08a341d5cdfed87c6edbcbf36e1f7"


def test_code_that_is_not_ours_stands_beside_the_rest():
    own = identity(code_sha256="ab")
    assert own.to_json() == {**PLAIN, "code_sha256": "ab"}
    assert own.digest() != identity().digest()
