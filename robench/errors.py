"""The exception family: what was expected, what came instead, what to do. No torch here."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from difflib import get_close_matches
from traceback import extract_tb, format_list
from typing import ClassVar

PACKAGES = ("robench", "attacks", "defenses", "model_zoo", "reports")
"""The packages whose files a notebook does not show."""

LONGEST = 3000
"""Most characters of the input that a message repeats."""


class RobenchError(Exception):
    """Base of every error this project raises on purpose.

    Args:
        expected: what a valid input looks like, as a noun phrase.
        got: what came instead.
        do: the remedy, as an imperative sentence.
        where: file and line, option, or object the message is about.
    """

    exit_code: ClassVar[int] = 4

    def __init__(self, *, expected: str, got: str, do: str = "", where: str = "") -> None:
        self.expected, self.got, self.do, self.where = expected, got, do, where
        head = f"{where}: " if where else ""
        tail = f" {do}" if do.endswith("?") else f" {do.rstrip('.')}." if do else ""
        # `got` may be a long text from the user.
        excerpt = got if len(got) <= LONGEST else f"{got[:LONGEST]}... ({len(got)} characters)"
        super().__init__(f"{head}expected {expected}, got {excerpt}.{tail}")

    def _render_traceback_(self) -> list[str]:
        """Return the lines that a notebook shows: the caller's own code and the message, none of our files.

        IPython calls this (`InteractiveShell.showtraceback`); everywhere else the traceback is complete.
        """
        frames = extract_tb(self.__traceback__)
        ours = {name for name in sys.modules if name.partition(".")[0] in PACKAGES}
        files = {getattr(sys.modules[name], "__file__", None) for name in ours}
        entry = next((at for at, frame in enumerate(frames) if frame.filename in files), len(frames))
        lines = format_list(frames[max(0, entry - 1) : entry]) if entry else []
        return [*"".join(lines).splitlines(), f"{type(self).__name__}: {self}"]


class ConfigError(RobenchError):
    """A configuration file, command-line option or recipe option is wrong; nothing was run."""

    exit_code = 2


class InputError(RobenchError):
    """Images, labels, a template or a data set cannot be used; nothing was run."""

    exit_code = 2


class CheckpointError(RobenchError):
    """A checkpoint is missing, corrupt, unsafe, or made for another network."""

    exit_code = 2


class PluginError(RobenchError):
    """A plugin is unknown, claimed twice, hidden by another folder, or fails to import."""

    exit_code = 2


class DeviceError(RobenchError):
    """The device asked for does not exist here."""

    exit_code = 2


class StorageError(RobenchError):
    """A result could not be read or written; what was finished before is intact."""

    exit_code = 4


class JobError(RobenchError):
    """One job failed while running; the others go on."""

    exit_code = 3


def nearest(name: str, known: Iterable[str]) -> str:
    """Return an imperative sentence that names the closest known names, or lists a few of them."""
    names = sorted(known)
    close = get_close_matches(name, names, n=9, cutoff=0.55)
    close = sorted(close, key=lambda one: _slips(name.lower(), one.lower()))[:3]
    if close:
        return "Did you mean " + " or ".join(repr(c) for c in close) + "?"
    if not names:
        return "Nothing of this kind is installed."
    excerpt = ", ".join(names[:12]) + (f" and {len(names) - 12} more" if len(names) > 12 else "")
    return f"Choose one of: {excerpt}"


def _slips(word: str, other_word: str) -> int:
    """Return the edit distance: insertions, deletions, substitutions, and swaps of neighbouring letters."""
    before, row = list[int](), list(range(len(other_word) + 1))
    for i, sign in enumerate(word, 1):
        older, before, row = before, row, [i]
        for j, other in enumerate(other_word, 1):
            least = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (sign != other))
            if i > 1 and j > 1 and sign == other_word[j - 2] and word[i - 2] == other:
                least = min(least, older[j - 2] + 1)
            row.append(least)
    return row[-1]
