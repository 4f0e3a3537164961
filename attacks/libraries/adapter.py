"""Attacks of libraries as rows of a table: what a row says becomes an attack behind our contract.

A library is given the labels, a plain module around any head and gradient source, and what the threat says.
What it says of success is ignored. Its restarts are run by us: libraries have none, or keep one by another
rule.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, make_dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from attacks.gradient.pgd import madry_step
from attacks.libraries.table import REQUIRED
from attacks.shared.options import finite_radius
from attacks.shared.papers import together
from attacks.shared.tries import strongest
from robench.attack.protocol import Attack, AttackInfo, Knowledge
from robench.errors import ConfigError, PluginError

if TYPE_CHECKING:
    from robench.attack.oracle import Oracle
    from robench.attack.surrogate_module import Form
    from robench.randomness import Randomness
    from robench.types import Images, Labels

Arguments = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """An option that a user sees.

    Attributes:
        name: as in a configuration.
        kind: its type, such as `int` or `float | None`.
        default: its value where none is given; `REQUIRED` for none.
        meaning: what it is, for the attack's docstring.
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
        options: what a user may set; `restarts` is seen to here.
        arguments: gives, for the attack and a radius, what the library's class is made with, under its names.
        told: further arguments under each norm, such as the norm itself.
        knowledge: see `AttackInfo`.
        goals: see `AttackInfo`.
        randomised: see `AttackInfo`.
        minimises: see `AttackInfo`; the library is told no radius.
        couples_images: see `AttackInfo`.
        layers: see `AttackInfo`.
        ascends: see `robench.attack.library_model.lent`.
        refuse: raises a ConfigError where the attack cannot be aimed at what the oracle asks for.
        form: what it takes a network's answers for, see `SurrogateModule`.
        one_by_one: whether it attacks a single image at a time.
        version: installed version of the library, where keys are to tell it.
        still_at_zero: whether it cannot cope with a ball that is a point; images stay as they are then.
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
    told: Mapping[str, Arguments] = field(default_factory=dict)
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
        distribution: what is installed.
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

    def check_installed(self) -> None:
        """Refuse to go on without the library, before anything is run.

        Raises:
            PluginError: it, or what it imports, is not installed; says how to install it.
        """
        for module in self.imports:
            if find_spec(module) is None:
                do = f"Run `{self.install}`{self.remedy}"
                raise PluginError(
                    expected=f"{self.wanted} to be installed", got=f"no module named {module!r}", do=do
                )


def in_parts(
    oracle: Oracle, attack: Callable[[Images, Labels], Images], *, most: int | None = None
) -> Images:
    """Return what an attack makes of the oracle's images and labels, at most a pass of them at a time.

    Args:
        oracle: whose images and labels.
        attack: makes images (b, C, H, W) of images and labels.
        most: most images at a time where that is less than a pass; a joint batch stays whole all the same.
    """
    import torch

    from robench.model.interface import Coupling

    whole = oracle.model.coupling is Coupling.JOINT
    size = max(len(oracle.x) if whole else min(oracle.batch_size, most or oracle.batch_size), 1)
    parts = zip(torch.split(oracle.x, size), torch.split(oracle.y, size), strict=True)
    return torch.cat([attack(images, labels).detach() for images, labels in parts])


def accepted(kind: Callable[..., Any], arguments: Arguments) -> Arguments:
    """Return those of these arguments that a class or function of a library has a parameter for."""
    import inspect

    parameters = inspect.signature(kind).parameters
    return {name: value for name, value in arguments.items() if name in parameters}


def refuse_other_boxes(oracle: Oracle, library: str) -> None:
    """Refuse pixels outside [0, 1] to a library that knows no others.

    Raises:
        ConfigError: the box is another one.
    """
    if oracle.threat.bounds != (0.0, 1.0):
        got = repr(oracle.threat.bounds)
        raise ConfigError(where="bounds", expected=f"(0, 1) for {library}", got=got)


STEPS = Option(name="steps", kind="int", default=40, meaning="number of steps.")
STEP_SIZE = Option(name="step_size", kind="float", default=0.01, meaning="length of a step in input units.")
PGD_OPTIONS = (
    Option(name="steps", kind="int", default=40, meaning="number of steps of each try."),
    Option(
        name="step_size",
        kind="float | None",
        default=None,
        meaning="length of a step in input units; by default 2.5 eps / steps.",
    ),
    Option(
        name="restarts",
        kind="int",
        default=1,
        meaning="number of tries; the one with the highest final loss is kept for each image.",
    ),
    Option(name="random_start", kind="bool", default=True, meaning="start at a random point of the ball."),
)
CW_OPTIONS = (
    Option(name="c", kind="float", default=10.0, meaning="weight of the misclassification term."),
    Option(
        name="kappa",
        kind="float",
        default=0.0,
        meaning="by how much the scores must favour the wrong class.",
    ),
    Option(name="steps", kind="int", default=50, meaning="Adam steps."),
    Option(name="learning_rate", kind="float", default=0.006, meaning="of Adam on w."),
)


def step_of(attack: Any, eps: float) -> float:
    """Return the length of a step of PGD in input units."""
    return madry_step(eps, attack.steps) if attack.step_size is None else float(attack.step_size)


def attack_classes(library: Library, rows: Iterable[Row]) -> dict[str, type[Attack]]:
    """Return a frozen dataclass for each row, by name."""
    return {row.name: attack_class(library, row) for row in rows}


def attack_class(library: Library, row: Row) -> type[Attack]:
    """Return a frozen dataclass of a row's options that is an attack."""
    names = [option.name for option in row.options]

    def refuse_options(self: Any) -> None:
        """Refuse options that mean nothing, and to exist without the library."""
        library.check_installed()
        for module in row.needs:
            if find_spec(module) is None:
                expected = f"{module!r} to be installed, which {row.label} imports"
                do = f"Run `pip install {module}`"
                raise PluginError(expected=expected, got="no module of that name", do=do)
        if row.ours is not None:
            row.ours(**{name: getattr(self, name) for name in names})

    def call(self: Any, oracle: Oracle, rng: Randomness) -> Images:
        """Return the library's images, of the strongest try; see `robench.attack.Attack`.

        Raises:
            ConfigError: the library cannot attack under this threat, or there is a budget.
            JobError: the library raised an error of its own.
        """
        from robench.attack.losses import cross_entropy

        eps = None if row.minimises else finite_radius(oracle.threat.eps, row.label)
        row.refuse(oracle)
        if row.still_at_zero and eps == 0:
            return oracle.x.clone()
        arguments = {**row.arguments(self, eps or 0.0), **row.told.get(oracle.threat.norm.name, {})}
        if row.ours is None or "restarts" not in names:  # of an attack without ours they are the library's
            return library.run(oracle, rng, row, arguments, eps)

        def attempt(restart: int) -> Images:
            return library.run(oracle, rng.split("restart", restart), row, arguments, eps)

        return strongest(oracle, self.restarts, attempt, cross_entropy)

    ours: Any = getattr(row.ours, "info", None)
    info = AttackInfo(
        title=row.title,
        paper=row.paper or ours.paper,
        bibtex=together(*dict.fromkeys((row.bibtex or ours.bibtex, library.bibtex))),
        norms=tuple(row.theirs),
        knowledge=row.knowledge,
        goals=row.goals,
        randomised=row.randomised,
        minimises=row.minimises,
        couples_images=row.couples_images,
        layers=row.layers,
        library=library.distribution,
        library_version=row.version,
        install=library.install,
    )
    meanings = "\n".join(f"    {option.name}: {option.meaning}" for option in row.options if option.meaning)
    attack: type[Attack] = make_dataclass(
        row.name,
        [
            (
                option.name,
                option.kind,
                field() if option.default is REQUIRED else field(default=option.default),
            )
            for option in row.options
        ],
        namespace={
            "__module__": library.module,
            "__doc__": row.text + (f"\n\nAttributes:\n{meanings}" if meanings else ""),
            "__post_init__": refuse_options,
            "__call__": call,
            "info": info,
        },
        frozen=True,
        slots=True,
        kw_only=True,
    )
    return attack
