"""Every attack of a library as an attack of ours, made from its table on use. No torch here.

An attack keeps the library's name, options and defaults. Radius, norm, goal, and the number of images at once
are not options, because the threat and the settings decide them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from typing import Any

from attacks.libraries.adapter import attack_class
from attacks.libraries.docstrings import explained
from attacks.libraries.rows import Arguments, Library, Option, Row
from attacks.libraries.table import Entry, Table, read_table, sentence_of
from robench.attack.protocol import Attack, Knowledge
from robench.catalogue import AttackFacts
from robench.plan.norm_names import NORMS


class LibraryCatalogue:
    """The attacks of a library by their own names; see `robench.catalogue.Catalogue`.

    Args:
        library: how its attacks are run.
        prefix: prefix of their names, and the name of the table.
        norm_values: by option of the library, its value for each norm.
        steps: from an attack, its set options and the radius to options whose value depends on the radius.
    """

    def __init__(
        self,
        library: Library,
        prefix: str,
        *,
        norm_values: Mapping[str, Mapping[str, Any]],
        steps: Callable[[Entry, Arguments, float], Arguments] | None = None,
    ) -> None:
        self.library = library
        self.prefix = prefix
        self._norm_values = norm_values
        self._steps = steps
        self._classes: dict[str, type[Attack]] = {}

    @property
    def table(self) -> Table:
        """Its table."""
        return read_table(self.prefix)

    @property
    def aliases(self) -> Mapping[str, str]:
        """Other names that the library itself has for attacks."""
        return self.table.aliases

    @property
    def left_out(self) -> Mapping[str, str]:
        """Names in the library that are not attacks here, each with the reason."""
        return self.table.left_out

    def names(self) -> Iterable[str]:
        """Return the names."""
        return self.table.attacks

    def find(self, name: str) -> type[Attack]:
        """Return the recipe of a name."""
        if name not in self._classes:
            self._classes[name] = attack_class(self.library, self._row(self.table.attacks[name]))
        return self._classes[name]

    def brief(self, name: str) -> tuple[str, str]:
        """Return the first sentence about an attack, and its paper."""
        entry = self.table.attacks[name]
        return sentence_of(self.prefix, entry), entry.cite

    def facts(self, name: str) -> AttackFacts:
        """Return the facts about an attack for `robench list`."""
        entry = self.table.attacks[name]
        return AttackFacts(
            norms=entry.norms,
            knowledge=entry.sees,
            smallest=entry.kind == "smallest",
            lacks=next((module for module in self.library.imports if _is_missing(module)), ""),
        )

    def explained(self, name: str) -> Mapping[str, str]:
        """Return the meanings of an attack's options from the library's docstrings; empty if it is absent."""
        return explained(self.prefix, name)

    def called(self, value: str) -> str | None:
        """Return the name of the recipe that records call `module:qualname`; None for none."""
        module, _, name = value.partition(":")
        name = name.removeprefix(f"{self.prefix}_")
        is_ours = module == self.library.module and value == f"{module}:{self.prefix}_{name}"
        return name if is_ours and name in self.table.attacks else None

    def class_named(self, name: str) -> type[Attack]:
        """Return the class of this name.

        Raises:
            AttributeError: there is none.
        """
        # Python calls this for every missing name of the module; without the prefix the table is not read.
        inner = name.removeprefix(f"{self.prefix}_")
        if inner == name or inner not in self.table.attacks:
            raise AttributeError(f"module {self.library.module!r} has no attribute {name!r}")
        return self.find(inner)

    def _version(self) -> str:
        try:
            return version(self.library.distribution)
        except PackageNotFoundError:
            return ""

    def _sentence(self, entry: Entry) -> str:
        return f"{entry.cite}; {entry.facts}."

    def _row(self, entry: Entry) -> Row:
        settings = entry.settings
        minimises = entry.kind != "fixed"
        free = entry.kind == "free" or "L0" in entry.norms
        norms = NORMS if free else entry.norms
        values = self._norm_values.get(entry.norm_option, {})
        goals = ("targeted",) if entry.targeted_only else ("untargeted",) if entry.untargeted else ()

        def arguments(attack: Any, eps: float) -> Arguments:
            values = {setting.name: getattr(attack, setting.name) for setting in settings}
            if self._steps is not None:
                values |= self._steps(entry, values, eps)
            return {**values, entry.radius: eps} if entry.radius else values

        return Row(
            name=f"{self.prefix}_{entry.name}",
            title=f"{entry.name} ({self.library.distribution})",
            paper=entry.cite,
            bibtex=entry.bibtex,
            theirs=dict.fromkeys(norms, entry.name),
            label=f"{self.prefix}/{entry.name}",
            text=self._text(entry, free=free),
            options=tuple(
                Option(name=setting.name, kind=setting.kind, default=setting.default) for setting in settings
            ),
            arguments=arguments,
            norm_arguments={norm: {entry.norm_option: values[norm]} for norm in norms}
            if entry.norm_option
            else {},
            knowledge=Knowledge(entry.sees),
            goals=goals or ("untargeted", "targeted"),
            randomised=entry.randomised,
            minimises=minimises,
            couples_images=entry.coupled,
            layers=entry.layers,
            ascends=entry.ascent,
            form="probabilities" if entry.probabilities else "scores",
            one_by_one=entry.one_by_one,
            version=self._version(),
            still_at_zero=True,
            needs=entry.needs,
        )

    def _text(self, entry: Entry, *, free: bool) -> str:
        parts = [sentence_of(self.prefix, entry), "", self._sentence(entry), ""]
        if entry.note:
            parts += [entry.note, ""]
        parts += [
            f"The attack {entry.name} of {self.library.distribution} with its own options and defaults; "
            "radius, norm and goal are those of the threat."
        ]
        if free:
            parts += ["What it returns is projected on the ball of the threat before it is judged."]
        if entry.layers:
            parts += ["It looks at a layer of the network, which it is told by name, such as `layer2.0`."]
        return "\n".join(parts)


@cache
def _is_missing(module: str) -> bool:
    return find_spec(module) is None
