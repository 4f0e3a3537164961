import sys
from importlib.metadata import EntryPoint, EntryPoints

import pytest

from robench import plugin_index, plugins
from robench.errors import PluginError


@pytest.fixture
def installed(monkeypatch):
    """Pretend that exactly these entry points are installed."""

    def install(*points):
        entries = [EntryPoint(name, value, f"robench.{kind}") for kind, name, value in points]
        monkeypatch.setattr(plugin_index, "entry_points", lambda: EntryPoints(entries))
        plugins.refresh()

    yield install
    monkeypatch.undo()
    plugins.refresh()


def test_names_are_sorted_and_loaded_on_demand(installed):
    installed(
        ("attacks", "b", "attacks.gradient.pgd:PGD"),
        ("attacks", "a", "json:dumps"),
        ("heads", "c", "json:load"),
    )
    assert plugins.names("attacks") == ["a", "b"]
    assert plugins.find("attacks", "b").__name__ == "PGD"
    assert plugins.distribution("attacks", "a") == "unknown"


def test_an_unknown_name_gives_the_nearest(installed):
    installed(("attacks", "pgd", "json:loads"))
    with pytest.raises(PluginError, match=r"f:3: expected the name of an installed attack, got 'pdg'.*'pgd'"):
        plugins.find("attacks", "pdg", where="f:3")


def test_two_owners_are_refused_and_one_listed_twice_is_not(installed):
    one = ("attacks", "b", "attacks.gradient.pgd:PGD")
    installed(("attacks", "a", "json:loads"), ("attacks", "a", "json:dumps"), one, one)
    with pytest.raises(PluginError, match="one owner"):
        plugins.find("attacks", "a")
    assert plugins.find("attacks", "b")


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("no_such_module_xyz:A", "missing module 'no_such_module_xyz'"),
        ("json:no_such_name", "no_such_name"),
        ("json", "a dataclass of options"),
        ("json:loads", "a dataclass of options"),
        ("json:JSONDecoder", "a dataclass of options"),
        ("robench.plan.spec:Choice", "an `info`"),
    ],
)
def test_a_broken_plugin_says_why(installed, value, why):
    installed(("attacks", "a", value))
    with pytest.raises(PluginError, match=why):
        plugins.find("attacks", "a")


def test_a_folder_that_hides_ours_is_named(tmp_path, monkeypatch):
    (tmp_path / "attacks").mkdir()
    (tmp_path / "attacks" / "__init__.py").write_text("")
    for name in [m for m in sys.modules if m == "attacks" or m.startswith("attacks.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(PluginError) as error:
        plugins.check_shadows()
    assert str(tmp_path / "attacks") in str(error.value)
    assert "Rename" in str(error.value)


def test_every_plugin_of_ours_loads_and_names_its_paper():
    ours = {
        (kind, name)
        for kind in plugins.KINDS
        for name in plugins.names(kind)
        if plugins.distribution(kind, name) == "robench"
    }
    assert {kind for kind, _ in ours} == {*plugins.KINDS}
    for kind, name in ours - {("builders", "zoo")}:
        assert plugins.find(kind, name).info.paper, name


LIBRARIES = (
    ("catalogues", "foolbox", "attacks.libraries.foolbox:CATALOGUE"),
    ("catalogues", "torchattacks", "attacks.libraries.torchattacks:CATALOGUE"),
    ("attacks", "torchattacks/pgd", "attacks.libraries.torchattacks:TorchattacksPGD"),
    ("attacks", "difgsm", "attacks.gradient.difgsm:DIFGSM"),
)


@pytest.mark.parametrize("name", ["sigma-zero", "Sigma_Zero", "SIGMA-zero"])
def test_hyphens_and_capitals_are_no_matter(name):
    assert plugins.proper("attacks", name) == "sigma_zero"
    assert plugins.proper("attacks", "sigmazero") is None


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("torchattacks/PGD", "torchattacks/PGD"),
        ("torchattacks/pgd", "torchattacks/pgd"),
        ("torchattacks/Pgd", None),
        ("torchattacks/difgsm", "torchattacks/DIFGSM"),
        ("TorchAttacks/DIFGSM", "torchattacks/DIFGSM"),
        ("foolbox/PGD", "foolbox/LinfProjectedGradientDescentAttack"),
        ("foolbox/linfpgd", "foolbox/LinfProjectedGradientDescentAttack"),
        ("DIFGSM", "difgsm"),
        ("EADAttack", None),
        ("pgd", None),
    ],
)
def test_attacks_of_libraries_are_meant_by_several_spellings(installed, name, meant):
    installed(*LIBRARIES)
    assert plugins.proper("attacks", name) == meant
    if meant:
        assert plugins.find("attacks", name) is plugins.find("attacks", meant)
        assert meant in plugins.names("attacks")


@pytest.mark.parametrize(
    ("name", "remedy"),
    [
        ("torchattacks/Pgd", "Write 'torchattacks/pgd' or 'torchattacks/PGD'"),
        ("EADAttack", "A library has it: write 'foolbox/EADAttack'"),
        ("mifgsm", "A library has it: write 'foolbox/MIFGSM' or 'torchattacks/MIFGSM'"),
        ("torchattacks/LGV", "left out: it needs the training images"),
        ("torchattacks/DIFGSN", "Did you mean 'torchattacks/DIFGSM'"),
    ],
)
def test_a_name_that_nearly_means_an_attack_is_answered(installed, name, remedy):
    installed(*LIBRARIES)
    with pytest.raises(PluginError, match=remedy):
        plugins.find("attacks", name)


def test_what_is_listed_of_a_library_needs_no_class(installed):
    installed(*LIBRARIES)
    sentence, paper = plugins.brief("attacks", "foolbox/EADAttack")
    assert sentence == "Carlini & Wagner's attack with an L1 term, so that few pixels change."
    assert paper == "Chen et al. 2018, arXiv:1709.04114"
    facts = plugins.facts("foolbox/EADAttack")
    assert (facts.norms, facts.knowledge, facts.smallest) == (("L1",), "gradient", True)
    assert plugins.brief("attacks", "difgsm")[1].startswith("Xie et al. 2019")


def test_a_broken_catalogue_hides_nothing_else(installed):
    installed(("catalogues", "toy", "no_such_module_xyz:A"), ("attacks", "a", "attacks.gradient.pgd:PGD"))
    assert plugins.names("attacks") == ["a"]
    assert "no_such_module_xyz" in plugins.broken_catalogues()["toy"]
    with pytest.raises(PluginError, match="the attacks of 'toy' to import, got ModuleNotFoundError"):
        plugins.find("attacks", "toy/Attack")
