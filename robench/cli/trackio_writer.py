"""Writes numbers that come line by line into a folder of trackio: `python -m robench.cli.trackio_writer`.

A process of its own, because trackio prints on stdout, reads its folder when it is imported, and keeps a
current run for the whole process. The first line is JSON with `project`, `name` and `config`, every further
one a number with `name`, `value` and `step`; the end of the input ends the run. The answer is a line of JSON
with the name of the run.
"""

from __future__ import annotations

import json
import sys
from typing import TextIO


def copy(numbers: TextIO, answers: TextIO) -> None:
    """Make a run and log all numbers until the input ends.

    Args:
        numbers: lines as described for the module.
        answers: gets the name of the run.
    """
    import trackio

    beginning = json.loads(numbers.readline())
    run = trackio.init(
        project=beginning["project"],
        name=beginning["name"],
        config=beginning["config"],
        embed=False,
        auto_log_gpu=False,
        auto_log_cpu=False,
    )
    answers.write(json.dumps({"run": str(run.name)}) + "\n")
    answers.flush()
    for line in numbers:
        number = json.loads(line)
        run.log({number["name"]: number["value"]}, step=number["step"])
    run.finish()


if __name__ == "__main__":
    real, sys.stdout = sys.stdout, sys.stderr  # output of trackio is not the answer
    copy(sys.stdin, real)
