"""The process that `robench.record.index_readers` starts: it reads shares until its input ends."""

from __future__ import annotations

import gc
import json
import os
import signal
import sys

from robench.record.index_pieces import Share, pieces_of_share


def main() -> None:
    """Answer every line of stdin with the pieces of that share, until there are no more lines."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the starting process ends this one
    gc.disable()  # records have no reference cycles
    asker = os.getppid()
    answers = sys.stdout.buffer
    for line in sys.stdin.buffer:
        share = Share(**json.loads(line))
        try:
            pieces = pieces_of_share(share, go_on=lambda: os.getppid() == asker)
        except InterruptedError:
            return
        answers.write(json.dumps([len(piece) for piece in pieces]).encode() + b"\n")
        for piece in pieces:
            answers.write(piece)
        answers.flush()
