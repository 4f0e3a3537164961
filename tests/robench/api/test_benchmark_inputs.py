"""`benchmark` takes what a first-time user has at hand, or refuses it in one sentence."""

import pytest
import torch
from torch import nn

import robench
from robench.errors import ConfigError, InputError, JobError, PluginError
from robench.plan.presets import PRESETS

DATA = robench.load_data("digits", limit=12)
X, Y = DATA.batch(slice(None))


def net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 10))


def score(result):
    return result.leaderboard().set_index("model").worst_case.to_dict()


@pytest.mark.thorough
def test_a_plain_module_pairs_and_names_give_what_models_sets_and_recipes_give():
    recipe = robench.make_attack("fgsm")
    model = robench.wrap(net(), name="Sequential", classes=10)
    whole = robench.benchmark([model], DATA, attacks={"fgsm": recipe}, eps=0.1)
    for attacks in ("fgsm", ["fgsm"], {"fgsm": "fgsm"}):
        assert score(robench.benchmark(net(), DATA, attacks=attacks, eps="0.1")) == score(whole)
    assert score(robench.benchmark([net()], (X, Y), attacks="fgsm", eps=0.1)) == score(whole)


def test_functions_are_models_and_attacks():
    own = net()

    def mine(x):
        return own(x)

    def brighter(model, x, y, eps):
        return x + eps

    result = robench.benchmark([mine, own], DATA, attacks={"up": brighter}, eps=0.1)
    board = result.leaderboard().set_index("model")
    assert set(board.index) == {"mine", "Sequential"}
    assert board.loc["mine", "attack: up"] == board.loc["Sequential", "attack: up"]
    alike = robench.benchmark(own, DATA, attacks=["fgsm", brighter, robench.make_attack("pgd")], eps=0.1)
    row = alike.leaderboard().iloc[0]
    assert row["attack: brighter"] == board.loc["mine", "attack: up"]
    assert {"attack: fgsm", "attack: PGD"} <= set(row.index)


def test_a_mapping_names_its_models():
    model = robench.wrap(net(), name="Sequential", classes=10)
    result = robench.benchmark({"mine": net(), "yours": model}, DATA, attacks="fgsm", eps=0.1)
    assert set(result.leaderboard().model) == {"mine", "yours"}
    assert model.name == "Sequential"


def test_a_map_of_transfer_needs_several_models():
    result = robench.benchmark({"mine": net()}, DATA, attacks="fgsm", eps=0.1)
    with pytest.raises(ConfigError, match=r"got one model, 'mine'\. Evaluate several models together"):
        result.plot("transfer")
    result = robench.benchmark({"a": net(), "b": net()}, DATA, attacks="fgsm", eps=0.1, transfer=False)
    with pytest.raises(ConfigError, match=r"white-box results only.*in Python: transfer=True"):
        result.plot("transfer")


def evaluate(net, images=DATA, attacks="fgsm", eps=0.1, **options):
    return robench.benchmark(net, images, attacks=attacks, eps=eps, **options)


def test_several_radii_are_several_boards():
    both = evaluate(net(), eps=[0.1, "1/5"]).leaderboard()
    for eps in (0.1, "1/5"):
        one = evaluate(net(), eps=eps).leaderboard()
        assert both[both.eps_text == str(eps)].worst_case.tolist() == one.worst_case.tolist()
    assert len(both) == 2


@pytest.mark.thorough
def test_a_preset_is_its_attacks_and_goes_with_others():
    result = evaluate(net(), attacks=["quick", "fgsm"])
    (limits,) = (p for p in PRESETS.values() if p.name == "quick")
    labels = {record.attack.label for record in result.records} - {"clean"}
    assert labels == {"apgd", "apgd-margin", "square", "fgsm"}
    options = {record.attack.label: record.attack.options for record in result.records}
    assert options["apgd-margin"]["loss"] == "margin"
    assert len(limits.bounded) == 4  # and sigma-zero, which plays under L0
    smallest = evaluate(net(), attacks="quick", eps="inf", norm="L2")
    assert {record.attack.label for record in smallest.records} == {"clean", "fmn", "fab", "pdpgd"}
    assert "smallest L2 perturbation" in smallest._repr_html_()
    assert "<th>Median L2</th>" in smallest._repr_html_()
    size = smallest.leaderboard().median_size[0]
    assert f"; median smallest L2 change: Sequential {size:.4g}" in repr(smallest)


def single():
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 1))


def pgd(steps):
    return robench.make_attack("pgd", steps=steps)


def divide(model, x, y, eps):
    return 1 / 0


REFUSALS = [
    (lambda: evaluate("net"), InputError, "got a str.*robench.wrap"),
    (lambda: evaluate([nn.Linear]), InputError, "got the class Linear"),
    (lambda: evaluate([net(), net()]), InputError, "different names"),
    (lambda: evaluate(net(), X), InputError, "pair of images and labels"),
    (lambda: evaluate(net(), attacks=3), InputError, "names such as"),
    (lambda: evaluate(net(), attacks=["pdg"]), PluginError, "Did you mean .*'pgd'"),
    (lambda: evaluate(net(), attacks="quik"), PluginError, "a preset or .* Did you mean 'quick'"),
    (lambda: evaluate(net(), attacks={"a": None}), InputError, "name of an attack"),
    (lambda: evaluate(net(), attacks=[torch.relu, 3]), InputError, "got a int"),
    (lambda: evaluate(net(), attacks=[pgd(2), pgd(3)]), InputError, "a column for each .* Name them"),
    (lambda: evaluate(net(), attacks="cw"), ConfigError, "in Python: norm='L2'"),
    (lambda: evaluate(net(), eps=8), ConfigError, "Write 8/255"),
    (lambda: evaluate(net(), eps=[]), ConfigError, "a list of unlike ones"),
    (lambda: evaluate(net(), eps=[0.1, "0.1"]), ConfigError, "a list of unlike ones"),
    (lambda: evaluate(net()).plot("training"), ConfigError, "a run folder.*robench plot FIGURE RUN"),
    (lambda: evaluate(net(), transfr=False), ConfigError, "'transfer'"),
    (lambda: robench.attack(net(), X, Y, "fgsm", eps=8), ConfigError, "at most 1.*Write 8/255"),
    (lambda: robench.attack(single(), X, Y, eps=0.1), InputError, "two scores"),
    (lambda: robench.attack(net(), X, Y, divide, eps=0.1), JobError, "the attack's own Zero"),
    (lambda: robench.load_data("digits", limit="5"), InputError, "whole number"),
    (lambda: robench.load_data("mnist", root="absent"), InputError, "`root=DIR`, or allow `download=True`"),
    (lambda: robench.load_data("mnist", data_root="x"), ConfigError, "expected root=DIR, got data_root"),
    (lambda: robench.open_run(None), ConfigError, "path of a run folder"),
]


@pytest.mark.parametrize(("call", "kind", "words"), REFUSALS)
def test_everything_else_is_refused_in_a_sentence(call, kind, words):
    with pytest.raises(kind, match=words) as refusal:
        call()
    assert "\n" not in str(refusal.value)


def test_the_folder_of_data_sets_is_that_of_the_command_line(tmp_path, monkeypatch):
    monkeypatch.setenv("ROBENCH_DATA_ROOT", str(tmp_path / "mine"))
    with pytest.raises(InputError, match=f"{tmp_path}/mine/MNIST"):
        robench.load_data("mnist")
    with pytest.raises(InputError, match=f"{tmp_path}/other/MNIST"):
        robench.load_data("mnist", root=tmp_path / "other")


def test_results_are_exported_with_options(tmp_path):
    result = robench.benchmark(net(), DATA, attacks="fgsm", eps=0.1)
    paths = result.write(tmp_path, "huggingface", dataset="me/digits")
    assert [p.name for p in paths] == ["Sequential"]
    assert (tmp_path / "Sequential" / ".eval_results" / "digits-accuracy.yaml").exists()
    with pytest.raises(ConfigError, match="Did you mean 'dataset'"):
        result.write(tmp_path, "model-index", datasat="me/digits")
