"""Parity: versions of one attack compared image by image; a version made weaker on purpose is named."""

import pytest
import torch
from torch import nn
from typer.testing import CliRunner

from robench.api import make_attack, wrap
from robench.audit.parity import Version, disputed, family, parity
from robench.cli.app import app
from robench.cli.parity_table import plain, remarks
from robench.data.images import image_set
from robench.errors import ConfigError, PluginError

# foolbox imports SciPy by a name that SciPy has deprecated.
pytestmark = pytest.mark.filterwarnings("ignore:Please import:DeprecationWarning")


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(16, 3))
    return wrap(net, name="linear", classes=3)


@pytest.fixture(scope="module")
def images(model):
    x = torch.rand(60, 1, 4, 4, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        labels = model.net(x).argmax(dim=1)
    return image_set(x, labels, name="random", classes=3)


def test_equal_versions_break_the_same_images(model, images):
    attacks, absent = family("fgsm", {})
    assert next(iter(attacks)) == "fgsm"
    assert {"art/fgsm", "torchattacks/fgsm"} <= set(attacks)
    assert all("pip install" in why for why in absent.values() if why.startswith("no module"))
    assert set(attacks) | set(absent) == {"fgsm", "art/fgsm", "torchattacks/fgsm", "foolbox/fgsm"}
    versions = parity(model, images, attacks, norm="Linf", eps=0.05)
    assert len({v.robust for v in versions}) == 1
    assert 0 < versions[0].robust < 60
    assert all(v.alone == v.missed == 0 and not v.weaker for v in versions)


def test_a_weaker_version_is_named_and_counted(model, images):
    attacks = {"pgd": make_attack("pgd", steps=10), "art/pgd": make_attack("pgd", steps=1, step_size=0.001)}
    strong, weak = parity(model, images, attacks, norm="Linf", eps=0.08)
    assert (strong.name, weak.name) == ("pgd", "art/pgd")
    assert weak.weaker
    assert not strong.weaker
    assert strong.alone == weak.missed == weak.robust - strong.robust
    assert strong.p_value == 1.0
    assert strong.passes > 0
    ((names, misses),) = disputed([strong, weak]).items()
    assert names == ("pgd",)
    assert misses == [i for i, s, w in zip(strong.index, strong.stands, weak.stands, strict=True) if w > s]
    assert len(misses) == strong.alone
    text = " ".join(remarks([strong, weak], "pgd"))
    assert f"Broken by pgd, not by art/pgd: {len(misses)}: {misses[0]}" in text
    assert "art/pgd spent" in text  # a tenth of the steps


def test_what_a_library_met_and_did_not_return_is_told_apart(model, images, monkeypatch):
    theirs = make_attack("torchattacks/pgd", steps=10)
    kind = type(theirs)
    run = kind.__call__

    def forgets(self, oracle, rng):
        run(self, oracle, rng)
        return oracle.x

    monkeypatch.setattr(kind, "__call__", forgets)
    (version,) = parity(model, images, {"torchattacks/pgd": theirs}, norm="Linf", eps=0.08)
    assert version.returned == 60  # the clean images are all right
    assert 0 < sum(version.silent) == 60 - version.robust
    data = plain(version)
    assert sorted(data["silent_images"] + data["robust_images"]) == data["images"] == list(range(60))
    assert any("did not return" in line for line in remarks([version], "torchattacks/pgd"))


def test_groups_by_hand():
    def version(name, stands):
        return Version(
            name=name, n=4, robust=sum(stands), alone=0, missed=0, p_value=1.0, passes=10.0, most=10.0,
            seconds=0.0, median=None, index=(5, 6, 7, 8), stands=stands, silent=(False,) * 4,
        )  # fmt: skip

    versions = [version("a", (False, False, False, True)), version("b", (False, True, True, True))]
    assert disputed(versions) == {("a",): [6, 7]}
    assert remarks(versions, "a") == ["Broken by a, not by b: 2: 6, 7"]


def test_options_reach_every_version():
    attacks, _ = family("pgd", {"steps": 7, "step_size": 0.02})
    assert {getattr(a, "steps", None) for a in attacks.values()} == {7}
    assert {getattr(a, "step_size", None) for a in attacks.values()} == {0.02}
    assert {getattr(a, "restarts", None) for a in attacks.values()} == {1}


@pytest.mark.parametrize("name", ["apgd", "deepfool"])
def test_an_attack_without_a_twin_is_not_proposed(name):
    with pytest.raises(ConfigError) as info:
        family(name, {})
    assert "(cw, fgsm, ifgsm, pgd)" in str(info.value)
    assert "Did you mean" not in str(info.value)
    assert f"run it beside {'torchattacks/APGD' if name == 'apgd' else 'art/DeepFool'}" in str(info.value)


def test_nonsense_is_refused():
    with pytest.raises(PluginError, match="pgdd"):
        family("pgdd", {})
    with pytest.raises(ConfigError, match="stepz"):
        family("pgd", {"stepz": 3})
    for words in (["parity", "digits", "nobody"], ["parity", "digits", "natural", "--option", "steps"]):
        result = CliRunner().invoke(app, words)
        assert result.exit_code == 2, result.output
        assert "Traceback" not in result.output


@pytest.mark.thorough
def test_the_command_trains_compares_and_names_libraries(tmp_path):
    config = tmp_path / "c.yaml"
    config.write_text(
        "name: tiny\n"
        "dataset: {name: digits, limit: 12}\n"
        "models:\n"
        "  - name: net\n"
        "    architecture: digits_cnn\n"
        "    train: {data: {limit: 200}, defense: {natural: {epochs: 1}}}\n"
        "threats:\n"
        "  - {norm: Linf, eps: 0.1, attacks: [fgsm]}\n"
    )
    words = [
        "parity",
        str(config),
        "net",
        "--attack",
        "ifgsm",
        "--option",
        "steps=2",
        "-o",
        str(tmp_path / "o"),
    ]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.output
    for name in ("ifgsm", "art/ifgsm", "torchattacks/ifgsm"):
        assert name in result.output
