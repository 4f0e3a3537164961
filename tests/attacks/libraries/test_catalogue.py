"""An attack of a library by its own name: options, what it is told, and agreement with the bare library."""

import inspect
import pickle
from importlib.util import find_spec

import pytest
import torch

from attacks.libraries import adv_lib, art, foolbox, rows, torchattack, torchattacks
from attacks.libraries.page import PAGE, with_tables
from robench import plugins
from robench.attack.craft import check_attack
from robench.attack.norms import L2, LINF
from robench.attack.threat import Goal, ThreatModel
from robench.errors import ConfigError, JobError, PluginError
from robench.model.interface import Model
from robench.recipe import build, describe, options_of
from tests.attacks.libraries.quick import SHAPE, layered_model
from tests.truths import attacked, classify, images, small_net

pytestmark = [  # what foolbox and adv-lib import is deprecated
    pytest.mark.filterwarnings("ignore:Please import:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:The distutils package:DeprecationWarning"),
]


def needs(module):
    return pytest.mark.skipif(find_spec(module) is None, reason=f"{module} is not installed")


def test_it_is_a_recipe_with_the_options_of_the_library():
    kind = plugins.find("attacks", "torchattacks/DIFGSM")
    assert describe(kind) == {
        "alpha": {"type": "float", "default": 2 / 255},
        "steps": {"type": "int", "default": 10},
        "decay": {"type": "float", "default": 0.0},
        "resize_rate": {"type": "float", "default": 0.9},
        "diversity_prob": {"type": "float", "default": 0.5},
        "random_start": {"type": "bool", "default": False},
    }
    info = kind.info
    assert (info.title, info.paper) == ("DIFGSM (torchattacks)", "Xie et al. 2019, arXiv:1803.06978")
    assert (info.norms, info.goals, info.randomised, info.minimises) == (
        ("Linf",),
        ("untargeted", "targeted"),
        True,
        False,
    )
    assert "xie2019improving" in info.bibtex
    assert "kim2020torchattacks" in info.bibtex
    sentence, _, facts = inspect.getdoc(kind).partition("\n\n")
    assert sentence == "Momentum steps at a randomly shrunk and padded image, for transfer."
    assert facts.startswith("Xie et al. 2019, arXiv:1803.06978; Linf; gradients, randomised.")


def test_records_and_pickles_find_it_again():
    attack = build(plugins.find("attacks", "art/DeepFool"), {"max_iter": 3}, where="here")
    assert pickle.loads(pickle.dumps(attack)) == attack
    assert options_of(attack) == {"max_iter": 3, "epsilon": 1e-6, "nb_grads": 10}
    kind = type(attack)
    assert plugins.called("attacks", f"{kind.__module__}:{kind.__qualname__}") == "art/DeepFool"
    assert plugins.called("attacks", "attacks.libraries.art:art_NoSuchAttack") is None
    assert plugins.called("attacks", "attacks.libraries.art:ArtPGD") == "art/pgd"
    with pytest.raises(AttributeError, match="no attribute 'art_NoSuchAttack'"):
        art.art_NoSuchAttack  # noqa: B018


@pytest.mark.parametrize("options", [{"alfa": 0.1}, {"eps": 0.1}, {"steps": "many"}, {"random_start": 3}])
def test_options_the_library_does_not_have_are_refused(options):
    with pytest.raises(ConfigError, match="expected"):
        build(plugins.find("attacks", "torchattacks/PGD"), options, where="f.yaml:3")


def test_the_nearest_option_is_named():
    with pytest.raises(ConfigError, match="'alpha'"):
        build(plugins.find("attacks", "torchattacks/PGD"), {"alpa": 0.1}, where="f.yaml:3")


@pytest.mark.parametrize(
    ("catalogue", "name", "command"),
    [
        (torchattacks.CATALOGUE, "PGD", "pip install --no-deps torchattacks==3.5.1"),
        (foolbox.CATALOGUE, "DDNAttack", "pip install foolbox"),
        (art.CATALOGUE, "DeepFool", "pip install adversarial-robustness-toolbox"),
        (adv_lib.CATALOGUE, "fmn", "pip install adv-lib"),
        (torchattack.CATALOGUE, "Admix", "pip install torchattack"),
    ],
)
def test_a_missing_library_says_how_to_get_it(monkeypatch, catalogue, name, command):
    monkeypatch.setattr(rows, "find_spec", lambda name: None)
    kind = catalogue.find(name)
    assert kind.info.install == command
    with pytest.raises(PluginError, match=command):
        kind()


def test_what_one_attack_alone_imports_is_told_too(monkeypatch):
    monkeypatch.setattr(rows, "find_spec", lambda name: None if name == "multiprocess" else name)
    with pytest.raises(PluginError, match=r"'multiprocess' to be installed.*pip install multiprocess"):
        art.CATALOGUE.find("AutoAttack")()


def test_goals_it_cannot_play_are_refused_before_it_runs():
    plain = art.CATALOGUE.find("DeepFool")()
    targeted = art.CATALOGUE.find("SaliencyMapMethod")()
    for attack, goal in ((plain, Goal.TARGETED), (targeted, Goal.UNTARGETED)):
        with pytest.raises(ConfigError, match="a goal this attack can play"):
            check_attack(attack, ThreatModel(norm=L2, eps=0.1, goal=goal))


def test_a_radius_of_zero_leaves_the_images_alone():
    x = images(3)
    attack = art.CATALOGUE.find("FastGradientMethod")()
    assert torch.equal(attacked(attack, small_net(), x, eps=0.0)[2], x)


def bare(name, net, x, y, seed):
    """What a library makes of images when it is called by itself, its generators seeded alike."""
    from robench.randomness import borrowed_global_randomness

    with borrowed_global_randomness(seed):
        if name == "torchattacks/PGD":
            import torchattacks as library

            return library.PGD(net, eps=0.1, alpha=0.02, steps=5)(x, y)
        if name == "torchattacks/DIFGSM":
            import torchattacks as library

            return library.DIFGSM(net, eps=0.1, steps=4, decay=1.0)(x, y)
        if name == "foolbox/LinfPGD":
            import foolbox as fb

            model = fb.PyTorchModel(net, bounds=(0, 1))
            return fb.attacks.LinfPGD(steps=5).run(model, x, fb.Misclassification(y), epsilon=0.1)
        if name == "art/ProjectedGradientDescentNumpy":
            from art.attacks.evasion import ProjectedGradientDescentNumpy
            from art.estimators.classification import PyTorchClassifier

            loss = torch.nn.CrossEntropyLoss(reduction="sum")
            classifier = PyTorchClassifier(net, loss, tuple(x.shape[1:]), 10, clip_values=(0, 1))
            attack = ProjectedGradientDescentNumpy(
                classifier, eps=0.1, eps_step=0.02, max_iter=5, num_random_init=1, verbose=False
            )
            return torch.as_tensor(attack.generate(x.numpy(), y.numpy()))
        if name == "adv_lib/ddn":
            import adv_lib.attacks as library

            return library.ddn(net, x, y, steps=6, γ=0.1)
        import torchattack as library

        return library.GRA(net, eps=0.1, steps=2, num_neighbors=3)(x, y)


@pytest.mark.parametrize(
    ("name", "options", "norm"),
    [
        pytest.param("torchattacks/PGD", {"alpha": 0.02, "steps": 5}, LINF, marks=needs("torchattacks")),
        pytest.param("torchattacks/DIFGSM", {"steps": 4, "decay": 1.0}, LINF, marks=needs("torchattacks")),
        pytest.param("foolbox/LinfPGD", {"steps": 5}, LINF, marks=needs("foolbox")),
        (
            "art/ProjectedGradientDescentNumpy",
            {"eps_step": 0.02, "max_iter": 5, "num_random_init": 1},
            LINF,
        ),
        pytest.param("adv_lib/ddn", {"steps": 6, "gamma": 0.1}, L2, marks=needs("visdom")),
        pytest.param("torchattack/GRA", {"steps": 2, "num_neighbors": 3}, LINF, marks=needs("torchattack")),
    ],
)
def test_images_are_those_of_the_library_called_bare(name, options, norm):
    from robench.randomness import Randomness

    network = layered_model().net.module.eval()
    model = Model(name="bare", net=network, classes=10)
    x = images(6, SHAPE)
    y = classify(model, x)
    attack = build(plugins.find("attacks", name), options, where=name)
    threat = ThreatModel(norm=norm, eps=0.1)
    seed = Randomness(0, torch.arange(6), ("test",)).torch_seed()
    theirs = bare(name, network, x.clone(), y, seed).detach()
    last = attacked(attack, model, x, y, threat=threat)[2]
    expected = theirs if norm is LINF else threat.project(x, theirs)
    assert torch.allclose(last, expected, atol=1e-6)
    assert not torch.equal(last, x)


class Fails(torch.nn.Module):
    """A network that cannot be asked."""

    def forward(self, x):
        raise ZeroDivisionError("the network's own")


def test_errors_of_the_network_are_not_taken_for_the_librarys():
    attack = art.CATALOGUE.find("FastGradientMethod")()
    model = Model(name="fails", net=Fails(), classes=4)
    x, y = images(3, SHAPE), torch.tensor([0, 1, 2])
    with pytest.raises(ZeroDivisionError, match="the network's own"):
        attacked(attack, model, x, y)


@needs("torchattacks")
def test_errors_of_the_library_are_told_in_one_line():
    attack = torchattacks.CATALOGUE.find("JSMA")()
    with pytest.raises(JobError, match=r"torchattacks/JSMA: .*the library's own IndexError"):
        attacked(attack, small_net(shape=SHAPE, classes=4), images(3, SHAPE), torch.tensor([3, 3, 3]))


def test_the_page_lists_what_the_tables_list():
    text = PAGE.read_text("utf-8")
    assert with_tables(text) == text, "run `python -m attacks.libraries.page`"
