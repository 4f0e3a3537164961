"""A run folder read from Python. No torch here."""

from __future__ import annotations

from dataclasses import dataclass
from os import PathLike
from pathlib import Path

from robench.api import html
from robench.api.results import Results
from robench.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Run(Results):
    """The contents of a run folder.

    Attributes:
        folder: path of the folder.
        name: name of the plan.
        status: state of the run, such as `finished` or `interrupted`.
        damaged: a text for each file that could not be read; the records are without these files.
    """

    folder: Path
    name: str
    status: str
    damaged: tuple[str, ...] = ()

    def _folders(self) -> tuple[Path, ...]:
        return (self.folder,)

    def _summary(self) -> str:
        damage = f", {len(self.damaged)} damaged" if self.damaged else ""
        status = "under way, or killed" if self.status == "running" else self.status
        return f"{self.name!r}, {status}: {Results._summary(self)}{damage}"

    def _repr_html_(self) -> str:
        return f"<p>{html.text(repr(self))}</p>{Results._repr_html_(self) if self.records else ''}"


def open_run(folder: str | Path) -> Run:
    """Return what is in a run folder, of `robench run`, `robench eval` or another; nothing is changed.

    Raises:
        ConfigError: it is not a run folder.
    """
    from robench.record.recipe_hashes import model_recipes
    from robench.record.store import Store, check_run

    value: object = folder
    if not isinstance(value, str | PathLike):
        raise ConfigError(where="open_run", expected="the path of a run folder", got=repr(value))
    path = Path(folder)
    check_run(path)
    store = Store(path)
    facts, _ = store.facts()
    records, faults = store.readable()
    recipes = model_recipes(store.plan_data())
    from dataclasses import replace

    with_recipes = [
        replace(r, target=replace(r.target, recipe=recipes.get(r.target.name, ""))) for r in records
    ]
    failures = [f"{a.get('job', key)}: {a.get('error', '')}" for key, a in store.read_errors().items()]
    return Run(
        records=tuple(with_recipes),
        failures=tuple(failures),
        folder=path,
        name=str(facts.get("name", path.name)),
        status=str(facts.get("status", "unfinished")),
        damaged=tuple(f"{fault.about}: {fault.text}" for fault in faults),
    )
