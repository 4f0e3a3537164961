"""One reader, asked for so many seconds: `python -m tests.faults.fuzz.campaign "npz" 600 [FOLDER]`.

An input that is answered neither by an accepted value nor by an error of robench.errors is kept in FOLDER,
and so is one that takes longer than ten seconds or a gigabyte; the process ends where one takes two minutes.
"""

import faulthandler
import hashlib
import random
import resource
import sys
import tempfile
import time
import warnings
from collections import Counter
from pathlib import Path

from hypothesis import HealthCheck, Phase, given, seed, settings

from robench.errors import RobenchError

HANGS = 120


def ask(reader, folder, value, counts):
    """Read one input; raise what is no answer."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            reader.read(folder, value)
        except RobenchError as error:
            check_message(error)
            counts["refused"] += 1
        else:
            counts["accepted"] += 1


def check_message(error):
    """A message says what was expected, can be printed, and does not repeat the whole input."""
    assert error.expected
    assert len(str(error).encode("utf-8")) < 5000


def examples(reader, folder, counts, number, *, start):
    """Ask for a number of inputs; hypothesis shrinks what fails."""

    @seed(start)
    @settings(max_examples=number, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(reader.inputs)
    def asked(value):
        ask(reader, folder, value, counts)

    asked()


def _place(error):
    trace = error.__traceback__
    while trace.tb_next:
        trace = trace.tb_next
    return f"{Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}"


def campaign(name, seconds, findings):
    """Ask until the time is over; return counts, and keep what is found."""
    from tests.faults.fuzz.readers import READERS

    reader, counts, slowest, largest = READERS[name], Counter(), 0.0, 0
    findings.mkdir(parents=True, exist_ok=True)
    kinds = set()
    end = time.monotonic() + seconds
    with tempfile.TemporaryDirectory() as place:

        @settings(
            max_examples=100,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.generate],
        )
        @given(reader.inputs)
        def asked(value):
            nonlocal slowest, largest
            faulthandler.dump_traceback_later(HANGS, exit=True)
            (findings / "last").write_bytes(reader.keep(value))
            begin, memory = time.monotonic(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            what = ""
            try:
                ask(reader, Path(place), value, counts)
            except Exception as error:  # noqa: BLE001 - whatever it is, it is what is looked for
                counts["found"] += 1
                what = f"{type(error).__name__} {_place(error)} {str(error)[:200]}"
            seconds_here = time.monotonic() - begin
            growth = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory
            slowest, largest = max(slowest, seconds_here), max(largest, growth)
            if seconds_here > 10:
                what = what or f"slow {seconds_here:.0f} s"
            if growth > 1 << 20:
                what = what or f"large {growth >> 10} MiB"
            if what and (kind := what[:60]) not in kinds:
                kinds.add(kind)
                print(f"  {name}: {what}", flush=True)
                file = (
                    findings
                    / f"{name.replace(' ', '-')}-{hashlib.sha256(reader.keep(value)).hexdigest()[:8]}"
                )
                file.write_bytes(reader.keep(value))
                file.with_suffix(".repr").write_text(repr(value)[:100_000])

        while time.monotonic() < end:
            seed(random.getrandbits(64))(asked)()
    faulthandler.cancel_dump_traceback_later()
    total = sum(counts.values())
    print(
        f"{name}: {total} inputs, {dict(counts)}, slowest {slowest:.1f} s, most memory {largest >> 10} MiB",
        flush=True,
    )
    return counts


if __name__ == "__main__":
    campaign(sys.argv[1], float(sys.argv[2]), Path(sys.argv[3] if len(sys.argv) > 3 else tempfile.mkdtemp()))
