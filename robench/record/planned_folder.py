"""A run folder and its plan: whenever a run is killed, the folder's results belong to the plan in it."""

from __future__ import annotations

import contextlib
import hashlib
import os
from pathlib import Path
from typing import Any

from robench.errors import StorageError
from robench.plan.spec import content_hash
from robench.plurals import counted
from robench.record.files import MOST_TEXT, read_regular
from robench.record.folder import Fault, RunFolder
from robench.record.journal import (
    JOURNAL,
    append_key,
    derived_files,
    read_journal,
    write_journal,
)
from robench.record.planned import PlannedRun, planned_run
from robench.record.run_facts import RunFacts, run_facts

FINAL = ("finished", "failed jobs")
"""Statuses in `run.json` of a run that came to its end."""


class PlannedFolder(RunFolder):
    """A run folder that knows its plan and the plan's finished units; see `RunFolder`."""

    def begin(self, plan: dict[str, Any], config_text: str) -> None:
        """Let the folder belong to a plan: from now on it shows only results of this plan.

        If the plan changes, files made from the old records are deleted first, then `run.json` and the
        journal start anew, and only then `plan.json` changes: whenever this is killed, the shown results
        belong to the plan in the folder. Records of the old plan are kept, because it may be run again.

        Args:
            plan: as plain JSON data.
            config_text: the user's configuration, kept verbatim.

        Raises:
            StorageError: writing to disk failed.
        """
        digest = content_hash(plan)
        facts, journal, keys = self.facts()[0], "", list[str]()
        with contextlib.suppress(StorageError):
            journal, keys = read_journal(self.root)
        same = self.plan_digest() == digest and digest in {journal, facts.get("plan")}
        if not same:
            if self.told and (others := keys or facts.get("units", [])):
                self.told(_replaced(self.root, len(others)))
            for path in derived_files(self.root):
                self._remove(path)
            facts, keys = {}, []
        if facts.get("plan") != digest:
            self._make_way("run.json")
            name = str(plan.get("name", ""))
            beginning: RunFacts = {"name": name, "status": "running", "units": [], "plan": digest}
            self.write_json("run.json", beginning)
        self._make_way(JOURNAL)
        done_keys = keys if journal == digest else facts.get("units", [])
        write_journal(self.root, digest, done_keys)
        self._noted = set(done_keys)
        self._make_way("plan.json")
        if not same and os.path.lexists(self.root / "config.yaml"):
            self._remove(self.root / "config.yaml")
        self.write_json("plan.json", plan)
        self._make_way("config.yaml")
        self.write_text("config.yaml", config_text)
        if facts.get("config") not in (None, config := self.config_digest()):
            # Only its comments differ; this process may end before it writes `run.json` anew.
            self.write_json("run.json", {**facts, "config": config})

    def note(self, key: str) -> None:
        """Add a finished unit to the journal.

        Raises:
            StorageError: writing to disk failed, or `begin` was never called here.
        """
        if key not in self._noted:
            append_key(self.root, key)
            self._noted.add(key)

    def _remove(self, path: Path) -> None:
        """Delete a file that can be made again; anything that is not a file is set aside."""
        if path.is_dir() and not path.is_symlink():
            self.set_aside(path, "a folder in place of a file")
            return
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            got = error.strerror or str(error)
            raise StorageError(where=str(path), expected="to delete the file", got=got) from error

    def _make_way(self, name: str) -> None:
        """Set a file of the run itself aside if it is invalid."""
        path = self.root / name
        try:
            if name == JOURNAL:
                read_journal(self.root)
            elif name.endswith(".json"):
                if os.path.exists(path) and not isinstance(self.read_json(name), dict):
                    self.set_aside(path, "expected an object")
            else:
                read_regular(path, most=MOST_TEXT)
            if path.is_symlink() and not path.exists():
                self.set_aside(path, "a link to nothing")
        except StorageError as error:
            self.set_aside(path, f"expected {error.expected}, got {error.got}")

    def plan_data(self) -> dict[str, Any] | None:
        """Return the plan in the folder as plain data, None if there is no readable plan."""
        with contextlib.suppress(StorageError):
            plan = self.read_json("plan.json")
            return plan if isinstance(plan, dict) else None
        return None

    def plan_digest(self) -> str | None:
        """Return the hash of the plan in the folder, None if there is no readable plan."""
        plan = self.plan_data()
        if plan is None or ("models" in plan and planned_run(plan).fault):
            return None
        try:
            return content_hash(plan)
        except (ValueError, RecursionError):
            return None

    def config_digest(self) -> str:
        """Return the SHA-256 of the configuration in the folder; empty if there is none that can be read."""
        with contextlib.suppress(StorageError):
            return hashlib.sha256(read_regular(self.root / "config.yaml", most=MOST_TEXT) or b"").hexdigest()
        return ""

    def facts(self) -> tuple[RunFacts, list[Fault]]:
        """Return what `run.json` says, without what is of a wrong type, and a line for each such thing."""
        try:
            facts = self.read_json("run.json")
        except StorageError as error:
            return {}, [Fault.of("run.json", error)]
        if facts is None and not os.path.lexists(self.root / "run.json"):
            return {}, []
        return run_facts(facts)

    def planned(self, facts: RunFacts | None = None) -> list[str]:
        """Return the finished keys of the plan in the folder; in one of an earlier version, of its last run.

        They are in `run.json` if it is of this plan and final, else in the journal. A folder can contain
        units of earlier plans (another radius, other weights): they are kept in case they are needed again,
        but are not in tables.

        Args:
            facts: the result of `facts`, if it was called before.

        Raises:
            StorageError: an older folder cannot be listed.
        """
        facts, digest = self.facts()[0] if facts is None else facts, self.plan_digest()
        units = facts.get("units")
        own = units is not None and "plan" in facts and digest in {facts["plan"], None}
        if own and facts.get("status") in FINAL:
            return units or []
        try:
            journal, keys = read_journal(self.root)
        except StorageError:
            journal, keys = "", []
        if journal and digest in {journal, None}:
            return keys
        if own:
            return units or []
        if journal or "plan" in facts:
            return []  # the listed keys are of another plan
        return self.keys() if units is None else units

    def plan(self) -> tuple[PlannedRun | None, list[Fault]]:
        """Return the planned run of the folder, and a fault if the plan cannot be read.

        None for a folder with records only, which no run has made.
        """
        try:
            plan = self.read_json("plan.json")
        except StorageError as error:
            return _lost_plan(f"expected {error.expected}, got {error.got}")
        if plan is None and not os.path.lexists(self.root / "plan.json"):
            journal = os.path.lexists(self.root / JOURNAL)
            return _lost_plan("missing") if journal or "plan" in self.facts()[0] else (None, [])
        run = planned_run(plan)
        return (run, []) if not run.fault else _lost_plan(run.fault)


def _lost_plan(why: str) -> tuple[PlannedRun, list[Fault]]:
    return PlannedRun(fault=why), [Fault("plan.json", f"{why}; what is missing of the run cannot be told")]


def _replaced(root: Path, count: int) -> str:
    """Say that the folder showed another plan until now."""
    return (
        f"{root} holds another evaluation: its records stay ({counted(count, 'finished unit')}), its tables "
        "and config.yaml are replaced; the command that made it shows it again"
    )
