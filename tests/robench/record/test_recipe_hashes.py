import copy

import pytest

from robench.record.recipe_hashes import model_recipes

PLAN = {
    "seed": 0,
    "shard": 500,
    "models": [
        {
            "name": "net",
            "checkpoint": "a.safetensors",
            "sha256": "1",
            "train": {"epochs": 3},
            "features_of": None,
        },
        {"name": "graph", "features_of": "net", "head": {"m": 15}},
    ],
}


def changed(*path, value):
    plan = copy.deepcopy(PLAN)
    place = plan
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return plan


@pytest.mark.parametrize(
    "path", [("seed",), ("models", 0, "checkpoint"), ("models", 0, "sha256")], ids=lambda path: path[-1]
)
def test_chance_is_no_part_of_a_recipe(path):
    assert model_recipes(changed(*path, value="other")) == model_recipes(PLAN)


def test_the_making_is():
    before = model_recipes(PLAN)
    after_training = model_recipes(changed("models", 0, "train", value={"epochs": 4}))
    assert after_training["net"] != before["net"]
    assert after_training["graph"] != before["graph"]  # it stands on the features of the other
    after_head = model_recipes(changed("models", 1, "head", value={"m": 16}))
    assert (after_head["net"] == before["net"], after_head["graph"] == before["graph"]) == (True, False)
    assert not set(model_recipes(changed("shard", value=10)).values()) & set(before.values())


def test_the_name_of_the_features_is_no_part_of_it():
    variant = changed("models", 0, "name", value="other")
    variant["models"][1]["features_of"] = "other"
    assert model_recipes(variant)["graph"] == model_recipes(PLAN)["graph"]


@pytest.mark.parametrize("nonsense", [None, [], "x", {}, {"models": 3}, {"models": [1, {"no": "name"}]}])
def test_nonsense_has_no_recipes(nonsense):
    assert model_recipes(nonsense) == {}
