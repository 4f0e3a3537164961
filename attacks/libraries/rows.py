"""Facts of a library and of each of its attacks: a row of a table, with the options a user may set."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from attacks.gradient.ifgsm import IFGSM
from attacks.gradient.pgd import PGD
from attacks.minimal.cw import CW
from robench.attack.protocol import Knowledge
from robench.errors import PluginError

if TYPE_CHECKING:
    from robench.attack.oracle import Oracle
    from robench.attack.surrogate_module import Form
    from robench.randomness import Randomness
    from robench.types import Images

Arguments = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """An option that a user sees.

    Attributes:
        name: as in a configuration.
        kind: its type, such as `int` or `float | None`.
        default: its default value; `REQUIRED` if it has none.
        meaning: its meaning, for the attack's docstring.
    """

    name: str
    kind: str
    default: Any
    meaning: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One attack of a library.

    Attributes:
        name: of the class made of it, which records hold and which seeds the attack's randomness.
        title: the name a reader of a table knows it by.
        ours: our own attack of the same paper, which also refuses what its options may not be; None for an
            attack whose options only the library knows.
        paper: reference of the paper; that of `ours` by default.
        bibtex: its entry; that of `ours` by default.
        theirs: name of the library's class under each norm that it supports.
        label: how messages call it.
        text: the docstring, without the options.
        options: what a user may set; `restarts` is done by the adapter.
        arguments: returns the arguments of the library's class for the attack and a radius.
        norm_arguments: further arguments under each norm, such as the norm itself.
        knowledge: see `AttackInfo`.
        goals: see `AttackInfo`.
        randomised: see `AttackInfo`.
        minimises: see `AttackInfo`; the library gets no radius.
        couples_images: see `AttackInfo`.
        layers: see `AttackInfo`.
        ascends: see `robench.attack.library_model.lent`.
        refuse: raises a ConfigError where the attack cannot be aimed at what the oracle asks for.
        form: the kind of output that it expects of a network, see `SurrogateModule`.
        one_by_one: whether it attacks a single image at a time.
        version: installed version of the library, if keys shall contain it.
        still_at_zero: whether it fails at radius 0; images stay unchanged then.
        needs: modules that this attack imports beside the library.
    """

    name: str
    title: str
    ours: type[Any] | None = None
    paper: str = ""
    bibtex: str = ""
    theirs: Mapping[str, str]
    label: str
    text: str
    options: tuple[Option, ...] = ()
    arguments: Callable[[Any, float], Arguments]
    norm_arguments: Mapping[str, Arguments] = field(default_factory=dict)
    knowledge: Knowledge = Knowledge.GRADIENT
    goals: tuple[str, ...] = ("untargeted", "targeted")
    randomised: bool = False
    minimises: bool = False
    couples_images: bool = False
    layers: bool = False
    ascends: bool | None = None
    refuse: Callable[[Oracle], None] = lambda _: None
    form: Form = "scores"
    one_by_one: bool = False
    version: str = ""
    still_at_zero: bool = False
    needs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Library:
    """A library of attacks.

    Attributes:
        module: the module that holds its table, which records name.
        distribution: the distribution that is installed.
        bibtex: its paper.
        run: runs one attack on a batch: takes the oracle, randomness, row, arguments and radius (None for an
            attack that minimises), and gives images (B, C, H, W) inside ball and box.
        install: the command that installs it.
        imports: modules that must be there.
        wanted: what is expected where one of them is not.
        remedy: what to do then, beside running `install`.
    """

    module: str
    distribution: str
    bibtex: str
    run: Callable[[Oracle, Randomness, Row, Arguments, float | None], Images]
    install: str = ""
    imports: tuple[str, ...] = ()
    wanted: str = ""
    remedy: str = ""

    def check_installed(self, row: Row) -> None:
        """Refuse to run without the library and the packages that its row needs.

        Raises:
            PluginError: one of them, or one of its imports, is not installed; says how to install it.
        """
        for module in self.imports:
            if find_spec(module) is None:
                do = f"Run `{self.install}`{self.remedy}"
                raise PluginError(
                    expected=f"{self.wanted} to be installed", got=f"no module named {module!r}", do=do
                )
        for module in row.needs:
            if find_spec(module) is None:
                expected = f"{module!r} to be installed, which {row.label} imports"
                do = f"Run `pip install {module}`"
                raise PluginError(expected=expected, got="no module of that name", do=do)


_IFGSM, _PGD, _CW = IFGSM(), PGD(), CW()
"""Our attacks: a library's version has the same defaults, so that two versions can be compared."""

STEPS = Option(name="steps", kind="int", default=_IFGSM.steps, meaning="number of steps.")

STEP_SIZE = Option(
    name="step_size", kind="float", default=_IFGSM.step_size, meaning="length of a step in input units."
)

PGD_OPTIONS = (
    Option(name="steps", kind="int", default=_PGD.steps, meaning="number of steps of each try."),
    Option(
        name="step_size",
        kind="float | None",
        default=_PGD.step_size,
        meaning="length of a step in input units; by default 2.5 eps / steps.",
    ),
    Option(
        name="restarts",
        kind="int",
        default=_PGD.restarts,
        meaning="number of tries; the one with the highest final loss is kept for each image.",
    ),
    Option(
        name="random_start",
        kind="bool",
        default=_PGD.random_start,
        meaning="start at a random point of the ball.",
    ),
)

CW_OPTIONS = (
    Option(name="c", kind="float", default=_CW.c, meaning="weight of the misclassification term."),
    Option(
        name="kappa",
        kind="float",
        default=_CW.kappa,
        meaning="by how much the scores must favour the wrong class.",
    ),
    Option(name="steps", kind="int", default=_CW.steps, meaning="Adam steps."),
    Option(name="learning_rate", kind="float", default=_CW.learning_rate, meaning="of Adam on w."),
)
