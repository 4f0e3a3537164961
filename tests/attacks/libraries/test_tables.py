"""The tables of libraries against the libraries: none missing, none too many, every option and default."""

import inspect
from importlib.util import find_spec

import pytest

from attacks.libraries.adv_lib import latin
from attacks.libraries.catalogue import NORMS
from attacks.libraries.table import REQUIRED, citations, read_table
from reports.text.bibliography import read_entries
from robench.attack.norms import NORMS as KNOWN
from robench.attack.protocol import Knowledge

LIBRARIES = ("adv_lib", "art", "foolbox", "torchattack", "torchattacks")
IMPORTS = {"adv_lib": ("adv_lib", "visdom"), "foolbox": ("foolbox", "eagerpy", "git", "requests")}
DECIDED = {
    "adv_lib": {"model", "inputs", "images", "labels", "targeted", "callback", "num_classes"},
    "art": {
        "classifier", "estimator", "targeted", "batch_size", "verbose", "summary_writer",
        "parallel_pool_size", "estimator_orig", "attacks",
    },
    "foolbox": {"distance", "tensorboard", "channel_axis", "init_attack"},
    "torchattack": {"model", "normalize", "device", "clip_min", "clip_max", "targeted", "num_classes"},
    "torchattacks": {"model", "verbose", "seed", "n_classes"},
}  # fmt: skip
"""Parameters that the model, the images, the threat and the need for silence decide."""
OTHER_DEFAULTS = {("art", "eps_step")}
"""Options whose default in ART, 0.1, suits no radius; None here, which means one that does."""
pytestmark = [  # what foolbox and adv-lib import is deprecated
    pytest.mark.filterwarnings("ignore:Please import:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:The distutils package:DeprecationWarning"),
]
installed = [
    pytest.param(
        name,
        marks=pytest.mark.skipif(
            any(find_spec(module) is None for module in IMPORTS.get(name, (name,))),
            reason=f"{name} is not installed",
        ),
    )
    for name in LIBRARIES
]


def published(library):
    """Every attack a library publishes, by name, and other names for one."""
    if library == "adv_lib":
        import adv_lib.attacks as module

        return {name: value for name, value in vars(module).items() if inspect.isfunction(value)}, {}
    if library == "art":
        from art.attacks import evasion as module
        from art.attacks.attack import EvasionAttack as Base
    elif library == "foolbox":
        from foolbox import attacks as module
        from foolbox.attacks.base import Attack as Base
    elif library == "torchattack":
        import torchattack as module
        from torchattack import Attack as Base
    else:
        import torchattacks as module
        from torchattacks.attack import Attack as Base
    classes = {
        name: value
        for name, value in vars(module).items()
        if inspect.isclass(value) and issubclass(value, Base) and value is not Base
    }
    own = {name: value for name, value in classes.items() if value.__name__ == name}
    return own, {name: value.__name__ for name, value in classes.items() if name not in own}


@pytest.mark.parametrize("library", installed)
def test_none_is_missing_and_none_too_many(library):
    table = read_table(library)
    own, aliases = published(library)
    # A library leaves out what needs a package that is not there.
    absent = {name for name, entry in table.attacks.items() if any(find_spec(m) is None for m in entry.needs)}
    assert set(own) <= set(table.attacks) | set(table.left_out)
    assert (set(table.attacks) | set(table.left_out)) - set(own) <= absent
    assert not set(table.attacks) & set(table.left_out)
    assert dict(table.aliases) == {name: other for name, other in aliases.items() if other in table.attacks}


@pytest.mark.parametrize("library", installed)
def test_options_are_those_of_the_library(library):
    own, _ = published(library)
    for name, entry in read_table(library).attacks.items():
        if name not in own:
            continue  # see above
        parameters = inspect.signature(own[name]).parameters
        decisions = {entry.radius, entry.norm_option, *entry.without, *DECIDED[library]} - {""}
        theirs = {
            latin(key): parameter.default
            for key, parameter in parameters.items()
            if parameter.kind not in {parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD}
        }
        assert {entry.radius, entry.norm_option, *entry.without} - {""} <= set(theirs), name
        assert [s.name for s in entry.settings] == [key for key in theirs if key not in decisions], name
        for setting in entry.settings:
            default = theirs[setting.name]
            if (library, setting.name) in OTHER_DEFAULTS:
                assert (default, setting.default) == (0.1, None), name
            elif default is inspect.Parameter.empty:
                assert setting.default is REQUIRED, (name, setting.name)
            else:
                assert (setting.default, type(setting.default) is bool) == (default, type(default) is bool), (
                    name
                )


@pytest.mark.parametrize("library", LIBRARIES)
def test_every_entry_says_what_is_known(library):
    table = read_table(library)
    assert table.attacks
    for name, entry in table.attacks.items():
        assert entry.name == name
        assert entry.norms
        assert set(entry.norms) <= {*NORMS, "L0"}
        assert entry.kind in {"fixed", "smallest", "free"}
        assert Knowledge(entry.sees)
        assert not (entry.untargeted and entry.targeted_only)
        assert not entry.radius or entry.kind == "fixed"
        cite, bibtex = entry.cite, entry.bibtex
        (reference,) = read_entries(bibtex)
        assert reference.key == entry.paper
        assert reference.fields["year"] in cite or entry.paper == "rauber2020foolbox"
    assert all(reason[0].isupper() and not reason.endswith(".") for reason in table.left_out.values())


def test_norms_are_those_the_judge_knows():
    assert set(NORMS) == set(KNOWN)


def test_every_paper_is_cited_by_an_attack():
    cited_keys = {entry.paper for library in LIBRARIES for entry in read_table(library).attacks.values()}
    assert cited_keys == set(citations())


def test_twenty_attacks_made_for_transfer():
    """Each beyond MI-FGSM's family is a method of its own; the libraries repeat some of them."""
    made_for_transfer = {
        "torchattack": (
            "MIFGSM NIFGSM SINIFGSM DIFGSM TIFGSM VMIFGSM VNIFGSM Admix SSA MIG GRA BSR DeCoWA L2T MuMoDIG "
            "DR FDA FIA NAA DANAA ILPD BFA"
        ),
        "torchattacks": "PIFGSM PIFGSMPP",
    }
    transfer_attacks = [
        name
        for library, names in made_for_transfer.items()
        for name in names.split()
        if name in read_table(library).attacks
    ]
    assert len(transfer_attacks) == 24
