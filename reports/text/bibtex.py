"""BibTeX of everything a run used, and of robench itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from pathlib import Path
from typing import Any, ClassVar

from reports.board.named_plugins import NamedPlugin, named_plugins
from reports.board.run_folder import Readable
from reports.text.bibliography import Entry, read_entries
from reports.text.escape import visible
from reports.text.facts import without_folders
from robench.errors import ConfigError, StorageError
from robench.intake.user_code import is_reference
from robench.recipe import Info
from robench.record.files import write_atomic
from robench.record.schema import Record
from robench.record.store import Store

SOFTWARE = Entry(
    kind="misc",
    key="robench",
    fields={
        "title": "robench: adversarial robustness numbers that can be believed",
        "author": "{The robench authors}",
        "year": "2026",
    },
)


@dataclass(frozen=True, slots=True, kw_only=True)
class BibTeX:
    """One file, references.bib: an entry for every attack, defense, head, network and data set used."""

    info: ClassVar[Info] = Info(title="BibTeX", paper="none; Patashnik 1988")

    def render(self, records: Sequence[Record]) -> str:
        """Return the entries for some records, after comments that say what each of them is for."""
        return _text(records, ())

    def render_runs(self, folders: Sequence[Path], readable: Sequence[Readable | None] = ()) -> str:
        """Return the entries for run folders; their plans name the data sets of the trainings.

        Records that cannot be read are left out.

        Args:
            folders: the run folders.
            readable: what is in them, if it was read already.

        Raises:
            ConfigError: the runs have no records.
        """
        contents = [own or Store(folder).readable() for folder, own in zip_longest(folders, readable)]
        records = [record for own in contents for record in own[0]]
        if not records:
            raise ConfigError(expected="at least one finished unit", got="none", do="Run `robench run` first")
        return _text(records, [plan for folder in folders for plan in _plan(folder)])

    def __call__(self, records: Sequence[Record], folder: Path) -> list[Path]:
        """Write the file and return its path.

        Raises:
            StorageError: writing to disk failed; an older file is intact.
        """
        path = folder / "references.bib"
        write_atomic(path, _text(records, _plan(folder)))
        return [path]


def _plan(folder: Path) -> list[dict[str, Any]]:
    try:
        plan = Store(folder).read_json("plan.json")
    except StorageError:
        return []  # only records show what was used; a plan only adds the data sets of trainings
    return [plan] if isinstance(plan, dict) else []


def _text(records: Sequence[Record], plans: Sequence[dict[str, Any]]) -> str:
    software = _software(records)
    entries = {software.key: software}
    comments, leftovers = [], []
    for use in named_plugins(records, plans):
        what = visible(f"{use.kind.removesuffix('s')} {without_folders(use.name)}")
        try:
            own = read_entries(use.info.bibtex) if use.info else []
        except ConfigError as error:
            leftovers.append(f"% broken BibTeX of {what}: {visible(str(error))}")
            continue
        own = [_kept(entries, entry) for entry in own]
        if own:
            comments.append(f"% {what}: {', '.join(entry.key for entry in own)}")
        else:
            leftovers.append(f"% {what}: {_without(use)}")
    head = ["% What was used, and the key of its entry. Made by robench.", *comments, *leftovers]
    return "\n\n".join(["\n".join(head), *map(str, entries.values())]) + "\n"


def _kept(entries: dict[str, Entry], entry: Entry) -> Entry:
    """Keep an entry once, and return it; one whose key another entry has already gets a number behind it."""
    key, number = entry.key, 1
    while key in entries and entries[key].fields != entry.fields:
        number += 1
        key = f"{entry.key}-{number}"
    return entries.setdefault(key, replace(entry, key=key))


def _without(use: NamedPlugin) -> str:
    if is_reference(use.name):
        return "no entry, code of a file"
    if use.info is None:
        return "not found, no such plugin is installed here"
    return f"no entry, {visible(use.info.paper)}"


def _software(records: Sequence[Record]) -> Entry:
    """Return the entry of robench in the versions that made the records."""
    versions = {version for record in records if (version := record.conditions.versions.get("robench"))}
    note = {"note": f"version {', '.join(sorted(map(_plain, versions)))}"} if versions else {}
    return Entry(kind=SOFTWARE.kind, key=SOFTWARE.key, fields={**SOFTWARE.fields, **note})


def _plain(version: str) -> str:
    return "".join(sign for sign in version if sign.isalnum() or sign in ".+-")
