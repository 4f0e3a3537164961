"""Mutation testing, one small fault at a time: `python -m benchmarks.mutants robench/record/seal.py`.

Each mutant of a module is tried in a fork of one warm process that has imported everything, so that it costs
the tests alone, and the import of what depends on the module; and of the tests only those that reach the
mutated line are asked, the quickest first. A mutant that no test notices is printed: a test is missing, or
the mutant is equivalent. docs/quality.md keeps the figures.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.fresh_imports import forget, install, users_of, warm
from benchmarks.mutations import Mutant, mutants

RECORD, ATTACK, JUDGE = "tests/robench/record", "tests/robench/attack", "tests/robench/judge"
MEASURES = f"{RECORD}/measures"
TESTS = {
    "robench/judge/verdict.py": (JUDGE, "verdict", "predictions"),
    "robench/judge/attack_findings.py": (JUDGE, "attack_findings"),
    "robench/attack/norms.py": (ATTACK, "norms", "threat"),
    "robench/attack/threat.py": (ATTACK, "threat"),
    "robench/record/measures/statistics.py": (MEASURES, "statistics", "gap_interval"),
    "robench/record/measures/draws.py": (MEASURES, "draws"),
    "robench/record/seal.py": (RECORD, "seal"),
    "robench/record/strict_json.py": (RECORD, "schema", "parts"),
    "robench/record/schema.py": (RECORD, "schema", "parts"),
    "robench/record/parts.py": (RECORD, "parts", "schema"),
    "robench/record/files.py": (RECORD, "files", "store"),
    "robench/record/journal.py": (RECORD, "planned_folder"),
    "robench/record/folder.py": (RECORD, "planned_folder", "store"),
    "robench/record/planned_folder.py": (RECORD, "planned_folder"),
    "robench/record/planned.py": (RECORD, "planned_folder"),
    "robench/record/store.py": (RECORD, "store", "planned_folder"),
    "robench/record/merging.py": (RECORD, "merging"),
    "robench/record/completeness.py": (RECORD, "completeness"),
}
"""Modules that decide numbers or keep them, and the files of tests that are about each."""
SECONDS = 20.0
"""A mutant that takes so many seconds, and three times what the tests take, counts as noticed: it hangs."""


@dataclass(slots=True)
class Tally:
    """What became of the mutants of a file."""

    noticed: int = 0
    hanging: int = 0
    survivors: list[Mutant] = field(default_factory=list)


def main() -> None:
    """Try the mutants of the files named."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.mutants", description=__doc__)
    parser.add_argument("files", nargs="*", type=Path, help="modules; default: those that decide numbers")
    parser.add_argument("--tests", nargs="*", help="test files; default: those of its room")
    parser.add_argument("--then", nargs="*", default=[], help="slower tests for what these do not notice")
    parser.add_argument("--sample", type=int, help="try so many of them, drawn at random")
    parser.add_argument("--quick", type=float, help="leave out tests that take more seconds by themselves")
    parser.add_argument("--lines", help="only those of lines FIRST-LAST")
    arguments = parser.parse_args()
    sys.path.insert(0, str(Path.cwd()))
    warm()
    for file in arguments.files or map(Path, TESTS):
        tests = arguments.tests or default_tests(file)
        changes = list(mutants(file.read_text("utf-8"), str(file.resolve())))
        if arguments.lines:
            first, last = map(int, arguments.lines.split("-"))
            changes = [one for one in changes if first <= one.line <= last]
        if arguments.sample and arguments.sample < len(changes):
            changes = random.Random(0).sample(changes, arguments.sample)
        start = time.monotonic()
        tally = Trial(file, tests, arguments.quick).run(changes)
        if arguments.then and tally.survivors:
            print(f"{file}: and of these {len(tally.survivors)}, by the slower tests:", flush=True)
            second = Trial(file, arguments.then).run(tally.survivors)
            tally = Tally(tally.noticed + second.noticed, tally.hanging + second.hanging, second.survivors)
        print(
            f"{file}: {len(changes)} mutants, {tally.noticed} noticed ({tally.hanging} by their time), "
            f"{len(tally.survivors)} not, {time.monotonic() - start:.0f} s",
            flush=True,
        )


def default_tests(file: Path) -> list[str]:
    """Return the tests that are about a module, or those of the folder that mirrors its own."""
    if file.as_posix() in TESTS:
        folder, *names = TESTS[file.as_posix()]
        return [f"{folder}/test_{name}.py" for name in names]
    return [str(path) for path in sorted((Path("tests") / file.parent).glob("test_*.py"))] or ["tests"]


class Trial:
    """The mutants of one module, tried one after the other in forks of this process.

    Args:
        file: the module.
        tests: files or folders of tests.
        quick: most seconds of a test; None for no limit.
    """

    def __init__(self, file: Path, tests: Sequence[str], quick: float | None = None) -> None:
        self.file, self.tests = file, list(tests)
        self.name = ".".join(file.with_suffix("").parts).removesuffix(".__init__")
        self.plain = "torch" not in file.read_text("utf-8")
        self.users = users_of(self.name)
        self.reach, self.seconds = self._whole()
        if quick is not None:
            self.seconds = {test: seconds for test, seconds in self.seconds.items() if seconds <= quick}

    def run(self, chosen: Sequence[Mutant]) -> Tally:
        """Try the mutants, and print those that nobody notices."""
        tally = Tally()
        for mutant in chosen:
            tests = self._tests_of(mutant)
            outcome = self._outcome(mutant, tests) if tests else 0
            if outcome == 0:
                tally.survivors.append(mutant)
                where = f"{self.file}:{mutant.line}:{mutant.column}"
                print(f"  {where} {mutant.text}{'' if tests else '  (no test)'}", flush=True)
                continue
            tally.noticed += 1
            tally.hanging += outcome is None
        return tally

    def _outcome(self, mutant: Mutant, tests: Sequence[str]) -> int | None:
        """Return 0 if the tests pass with a mutant, and None if they do not end."""
        limit = SECONDS + 3 * sum(self.seconds.get(test, 0.0) for test in tests)
        return self._forked(lambda: self._try(mutant, tests), limit)

    def _tests_of(self, mutant: Mutant) -> list[str]:
        """Return the tests that reach a line, the quickest first; all for what is run at import."""
        lines = range(mutant.lines[0], mutant.lines[1] + 1)
        names = {test for line in lines for test in self.reach.get(line, ())}
        if "" in names:
            names = set(self.seconds)
        return sorted(names & self.seconds.keys(), key=lambda test: self.seconds[test])

    def _try(self, mutant: Mutant, tests: Sequence[str]) -> int:
        """Ask the tests with the mutant in the place of the module; runs in a fork."""
        forget(self.users)
        install(self.name, self.file, mutant.code)
        return pytest_run(tests, plain=self.plain)

    def _whole(self) -> tuple[dict[int, list[str]], dict[str, float]]:
        """Run the tests on the module as it is; return who reaches which line, and how long each takes."""
        with tempfile.TemporaryDirectory() as place:
            out = Path(place) / "reach.json"
            code = self._forked(lambda: self._measure(out), 3600.0)
            if code != 0:
                raise SystemExit(
                    f"{self.file}: the tests fail by themselves; ROBENCH_MUTANTS_LOUD=1 shows how"
                )
            data = json.loads(out.read_text())
        reach = {int(line): tests for line, tests in data["reach"].items()}
        return reach, data["seconds"]

    def _measure(self, out: Path) -> int:
        from coverage import Coverage

        cover = Coverage(include=[str(self.file.resolve())], data_file=None, config_file=False)
        seconds: dict[str, float] = {}

        class Contexts:
            def pytest_runtest_logstart(self, nodeid: str, location: Any) -> None:
                cover.switch_context(nodeid)
                seconds[nodeid] = time.monotonic()

            def pytest_runtest_logfinish(self, nodeid: str, location: Any) -> None:
                cover.switch_context("")
                seconds[nodeid] = time.monotonic() - seconds[nodeid]

        cover.start()
        forget(self.users)
        code = pytest_run(self.tests, Contexts(), plain=self.plain)
        cover.stop()
        data = cover.get_data()
        reach = data.contexts_by_lineno(str(self.file.resolve()))
        out.write_text(json.dumps({"reach": reach, "seconds": seconds}))
        return code

    def _forked(self, work: Callable[[], int], limit: float) -> int | None:
        """Do work in a fork and return its exit code; None where it took too long and was ended."""
        child = os.fork()
        if child == 0:
            os.setpgid(0, 0)
            signal.alarm(int(limit) + 60)  # in case the watching process is gone
            code = 1
            try:
                if not os.environ.get("ROBENCH_MUTANTS_LOUD"):
                    null = os.open(os.devnull, os.O_WRONLY)
                    os.dup2(null, 1)
                    os.dup2(null, 2)
                code = work()
            except BaseException:
                traceback.print_exc()
                raise
            finally:
                os._exit(code)
        with contextlib.suppress(PermissionError):
            os.setpgid(child, child)
        end = time.monotonic() + limit
        while time.monotonic() < end:
            process, status = os.waitpid(child, os.WNOHANG)
            if process:
                self._end_group(child)
                return os.waitstatus_to_exitcode(status)
            time.sleep(0.01)
        self._end_group(child)
        os.waitpid(child, 0)
        return None

    @staticmethod
    def _end_group(child: int) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(child, signal.SIGKILL)


def pytest_run(tests: Sequence[str], *plugins: object, plain: bool) -> int:
    """Run tests in this process and return 0 if they all pass.

    Args:
        tests: their names.
        plugins: of pytest.
        plain: leave out the check of shapes in all functions, for a module without tensors.
    """
    import pytest

    options = ["-x", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "--no-header", "--tb=short"]
    options += ["-W", "ignore::pytest.PytestAssertRewriteWarning"]  # hypothesis is imported already
    options += ["--noconftest"] if plain else []
    return int(pytest.main([*options, *tests], plugins=list(plugins)))


if __name__ == "__main__":
    main()
