"""How much is read at most: every limit, its purpose, and the variable that raises it.

The limits are far above the needs of data sets and networks. They exist so that a file made to cost time or
memory is refused in one sentence.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

from robench.errors import ConfigError, InputError, RobenchError

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """A limit of what is read.

    Attributes:
        what: what is limited, as a noun phrase.
        most: the default of the limit.
        unit: what is counted.
        variable: the environment variable that sets another limit; empty if no real file comes near it.
    """

    what: str
    most: int
    unit: str = "bytes"
    variable: str = ""

    def value(self) -> int:
        """Return the limit in force.

        Raises:
            ConfigError: the environment variable is not an integer above 0.
        """
        text = os.environ.get(self.variable, "").strip() if self.variable else ""
        if not text:
            return self.most
        if not (text.isascii() and text.isdigit() and len(text) < 19 and int(text) > 0):
            expected = f"a whole number of {self.unit} above 0"
            raise ConfigError(where=self.variable, expected=expected, got=repr(text[:40]))
        return int(text)

    def check(self, count: int, *, where: str, error: type[RobenchError] = InputError) -> None:
        """Refuse more than the limit.

        Args:
            count: the actual amount.
            where: the file, for the message.
            error: what to raise.

        Raises:
            RobenchError: of the kind `error`; names the limit, the actual size, and the variable.
        """
        if count > (most := self.value()):
            # Sizes are rounded: a size that looks like the limit itself is given in bytes.
            got = self.text(count) if self.text(count) != self.text(most) else f"{count} {self.unit}"
            raise self.refusal(got, where=where, error=error)

    def refusal(self, got: str, *, where: str, error: type[RobenchError] = InputError) -> RobenchError:
        """Return the error with the limit and the actual size."""
        do = "Nothing that is meant to be read is so large: look at where it comes from"
        if self.variable:
            do = f"If that is what you want to read, set {self.variable} to a larger number of {self.unit}"
        return error(
            where=where, expected=f"{self.what} of at most {self.text(self.value())}", got=got, do=do
        )

    def text(self, count: int) -> str:
        """Return a count with its unit."""
        return size_text(count) if self.unit == "bytes" else f"{count} {self.unit}"


def size_text(count: int) -> str:
    """Return bytes in the largest unit with a value of at least one, such as `1.5 GiB`."""
    for name, size in (("GiB", GIB), ("MiB", MIB), ("KiB", KIB)):
        if count >= size:
            return f"{count / size:.3g} {name}" if count < 1000 * size else f"{count // size} {name}"
    return f"{count} bytes"


CONFIGURATION = Limit(what="a configuration", most=MIB)
PYTHON_FILE = Limit(what="a Python file", most=16 * MIB)
SMALL_FILE = Limit(what="a hash or a card beside a checkpoint", most=MIB)
DATA = Limit(what="a data file", most=256 * GIB, variable="ROBENCH_MAX_DATA_BYTES")
UNPACKED = Limit(what="images and labels", most=256 * GIB, variable="ROBENCH_MAX_DATA_BYTES")
CHECKPOINT = Limit(what="a checkpoint", most=128 * GIB, variable="ROBENCH_MAX_CHECKPOINT_BYTES")
TENSORS = Limit(what="a checkpoint", most=200_000, unit="tensors", variable="ROBENCH_MAX_TENSORS")
STEPS = Limit(what="a pickle", most=2_000_000, unit="steps", variable="ROBENCH_MAX_PICKLE_STEPS")
PARTS = Limit(
    what="work in a pickle (keys to hash, arguments of what it calls)",
    most=20_000_000,
    unit="parts",
    variable="ROBENCH_MAX_PICKLE_PARTS",
)
EXPANSION = Limit(
    what="compressed data that unpack to more than 64 MiB, and then to a multiple of their size",
    most=250,
    unit="times",
    variable="ROBENCH_MAX_EXPANSION",
)
MEMBERS = Limit(what="a table of contents of an archive", most=64 * MIB)
PICTURE = Limit(what="a picture file", most=GIB, variable="ROBENCH_MAX_PICTURE_BYTES")
PIXELS = Limit(what="a picture", most=100_000_000, unit="pixels", variable="ROBENCH_MAX_PICTURE_PIXELS")
SUBMISSION = Limit(what="a submission file", most=GIB, variable="ROBENCH_MAX_SUBMISSION_BYTES")
SUBMITTED = Limit(
    what="what a submission file unpacks to", most=4 * GIB, variable="ROBENCH_MAX_SUBMISSION_UNPACKED"
)
SUBMITTED_FILES = Limit(
    what="a submission", most=100_000, unit="files", variable="ROBENCH_MAX_SUBMISSION_FILES"
)
FILES = Limit(what="a folder", most=20_000_000, unit="entries", variable="ROBENCH_MAX_FOLDER_ENTRIES")

LIMITS = (
    CONFIGURATION, PYTHON_FILE, SMALL_FILE, DATA, UNPACKED, EXPANSION, MEMBERS, PICTURE, PIXELS, FILES,
    CHECKPOINT, TENSORS, STEPS, PARTS, SUBMISSION, SUBMITTED, SUBMITTED_FILES,
)  # fmt: skip
"""All limits, in the order of docs/limits.md."""

FLOOR = 64 * MIB
"""Up to so many unpacked bytes any ratio is accepted: a column of equal labels compresses a thousandfold."""
