"""The configuration of `robench eval`: what a few words become, by hand."""

import pytest

from robench.errors import ConfigError
from robench.plan.presets import PRESETS
from robench.plan.single_model import (
    SingleModel,
    architecture,
    attack_entry,
    data_entry,
    data_name,
    plain_name,
)


def configuration(**options):
    usual = {"model": "timm:vit", "data": "digits", "norm": "Linf", "eps": "8/255", "attacks": "pgd"}
    return SingleModel(**{**usual, **options}).configuration()


def test_the_shortest_command_line():
    assert configuration() == {
        "schema": 1,
        "name": "vit-digits-Linf-8-255",
        "dataset": {"name": "digits"},
        "models": [{"name": "vit", "architecture": "timm:vit"}],
        "threats": [{"norm": "Linf", "eps": "8/255", "attacks": ["pgd"]}],
    }


def test_every_option_has_its_place(tmp_path):
    weights = tmp_path / "best.pt"
    weights.touch()
    whole = configuration(
        checkpoint=str(weights), key="ema", output="simplex", mean="0.5,0.4", std="1,2", targeted=True,
        limit=7, seed=3, batch_size=9, bounds="crown, ibp", eps="0.1, 0.2", name="mine",
    )  # fmt: skip
    assert whole["models"] == [
        {
            "name": "mine", "architecture": "timm:vit", "checkpoint": str(weights), "key": "ema",
            "output": "simplex", "normalize": {"mean": [0.5, 0.4], "std": [1.0, 2.0]},
        }
    ]  # fmt: skip
    assert whole["threats"] == [
        {
            "norm": "Linf",
            "eps": [0.1, 0.2],
            "goal": "targeted",
            "attacks": ["pgd"],
            "bounds": ["crown", "ibp"],
        }
    ]
    assert (whole["seed"], whole["batch_size"], whole["dataset"]) == (3, 9, {"name": "digits", "limit": 7})
    assert whole["name"] == "mine-digits-Linf-several"


@pytest.mark.parametrize(
    ("text", "eps"), [("0.5", 0.5), ("8/255", "8/255"), ("inf", "inf"), ("nan", "nan"), ("1e-2", 0.01)]
)
def test_a_radius_is_a_number_where_a_file_would_hold_one(text, eps):
    assert configuration(eps=text)["threats"][0]["eps"] == eps


@pytest.mark.parametrize(
    ("attacks", "size"),
    [
        ("quick", {"at_most": 200}),
        ("standard", {"at_most": 1000}),
        ("quick, standard", {"at_most": 1000}),  # the larger of both
        ("quick, pgd", {}),  # an attack of one's own: all images
        ("pgd", {}),
    ],
)
def test_presets_alone_limit_the_images(attacks, size):
    assert configuration(attacks=attacks)["dataset"] == {"name": "digits", **size}
    assert configuration(attacks=attacks, limit=5)["dataset"] == {"name": "digits", "limit": 5}


def test_an_attack_of_two_presets_is_made_once_and_eps_inf_takes_those_that_minimise():
    attacks = configuration(attacks="quick, quick, pgd, pgd")["threats"][0]["attacks"]
    assert attacks == [*configuration(attacks="quick")["threats"][0]["attacks"], "pgd"]
    smallest = configuration(attacks="quick", eps="inf", norm="L2")["threats"][0]["attacks"]
    names = {next(iter(attack)) for attack in PRESETS["quick"].smallest}
    assert {next(iter(attack)) if isinstance(attack, dict) else attack for attack in smallest} <= names


def test_a_folder_of_images_is_not_cut_at_its_first_classes(tmp_path):
    entry = {"name": "image_folder", "options": {"path": str(tmp_path)}}
    assert data_entry(str(tmp_path)) == entry
    assert configuration(data=str(tmp_path))["dataset"] == entry
    assert configuration(data=str(tmp_path), limit=4)["dataset"] == {**entry, "limit": 4, "subset": "random"}


def test_files_are_absolute_and_their_names_name_the_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.py").touch()
    (tmp_path / "set.npz").touch()
    assert architecture("net.py:make") == f"{tmp_path / 'net.py'}:make"
    assert data_entry("set.npz") == {"name": "npz", "options": {"path": str(tmp_path / "set.npz")}}
    assert attack_entry({"net.py:mine": {"steps": 3}, "label": "a"}) == {
        f"{tmp_path / 'net.py'}:mine": {"steps": 3}, "label": "a",
    }  # fmt: skip
    assert (data_name("set.npz"), data_name("digits")) == ("set", "digits")


@pytest.mark.parametrize(
    ("model", "checkpoint", "name"),
    [
        ("a/net.py:make", None, "net"),
        ("torchvision:resnet18", None, "resnet18"),
        ("hf:owner/name", "w/best model.pt", "name-best-model"),
        ("timm:a b", None, "a-b"),
        ("timm:...", None, "model"),
        ("timm:" + 200 * "x", None, 90 * "x"),
    ],
)
def test_a_model_without_a_name_is_called_after_its_file_and_weights(model, checkpoint, name):
    assert plain_name(model, checkpoint) == name


@pytest.mark.parametrize(
    ("options", "where", "words"),
    [
        ({"norm": "Linff"}, "--norm", "Linf"),
        ({"eps": "0,1"}, "--eps", "0.1"),
        ({"eps": "0,8/255"}, "--eps", "above 0"),
        ({"mean": "0.5"}, "--std", "together"),
        ({"std": "0.5"}, "--mean", "together"),
        ({"mean": "a", "std": "1"}, "--mean", "numbers"),
        ({"checkpoint": "no/such.pt"}, "--checkpoint", "no file"),
        ({"attacks": "pgdd"}, "--attacks", "pgd"),
        ({"attacks": "pgd,"}, "--attacks", "names of attacks"),
        ({"data": "digit"}, "--data", "digits"),
        ({"data": "digits.zip"}, "--data", "--data-root"),
        ({"data": "none.npz"}, "--data", "no file"),
        ({"model": "net.py"}, "MODEL", "net.py:make"),
        ({"model": "timm:"}, "MODEL", "an architecture"),
    ],
)
def test_what_cannot_be_is_refused_at_its_option(options, where, words):
    with pytest.raises(ConfigError) as refusal:
        configuration(**options)
    assert refusal.value.where == where
    assert words in str(refusal.value)
