"""A disk that is full from some moment on: `FullDisk` makes every request to write that moment.

`python -m tests.faults.full_disk` gives a real file system of few blocks to `robench run` (training, attacks,
features, reports) and to `robench merge`, a little more each time, and counts what was lost. It mounts them,
in a namespace of its own: `unshare --mount --map-root-user python -m tests.faults.full_disk`.
"""

import argparse
import builtins
import contextlib
import errno
import io
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from robench.record.comparison.repetition import differences_of
from robench.record.store import Store
from tests.faults.kills import REAL


class FullDisk:
    """Grants so many requests to write and refuses all that follow, as a disk without room would.

    A request is what can need room: a new file or folder, another name, bytes that go to the disk.

    Args:
        room: how many are granted; None for all.
    """

    def __init__(self, room=None):
        self.room, self.asked, self.refused = room, 0, []

    def ask(self, what):
        """Count a request; raise if there is no room."""
        self.asked += 1
        if self.room is not None and self.asked > self.room:
            self.refused.append(what)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    @contextlib.contextmanager
    def mounted(self, monkeypatch):
        """Stand between this process and its disk."""
        with monkeypatch.context() as patch:
            for name in ("fsync", "replace", "rename", "link", "write"):
                patch.setattr(os, name, self._asking(name, getattr(os, name)))
            patch.setattr(os, "mkdir", self._if_new("mkdir", os.mkdir, lambda *_: True))
            patch.setattr(os, "open", self._if_new("open", os.open, lambda flags, *_: flags & os.O_CREAT))
            opener = self._if_new("open", io.open, lambda mode="r", *_: set(mode) & set("wxa"))
            patch.setattr(io, "open", opener)
            patch.setattr(builtins, "open", opener)
            yield self

    def _asking(self, name, whole):
        def asking(*arguments, **options):
            self.ask(name)
            return whole(*arguments, **options)

        return asking

    def _if_new(self, name, whole, makes):
        def asking(path, *arguments, **options):
            if not isinstance(path, int) and makes(*arguments) and not os.path.lexists(path):
                self.ask(name)
            return whole(path, *arguments, **options)

        return asking


def torn(folder):
    """Return what a full disk must not leave: pieces of files, and files that cannot be read."""
    pieces = [path.name for path in folder.rglob(".*") if path.name != ".lock"]
    faults = Store(folder).readable()[1] if (folder / "plan.json").exists() else []
    return [*pieces, *(f"{fault.about}: {fault.text}" for fault in faults)]


def units_of(folder):
    """Return the bytes of every record."""
    return {path.name: path.read_bytes() for path in (folder / "units").glob("[!.]*.json")}


def robench(*arguments):
    """Run a command; return its exit code and what it said."""
    process = subprocess.run(
        [sys.executable, "-P", "-m", "robench", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
    )
    return process.returncode, process.stderr


class Campaign:
    """Commands on file systems of so many KiB, each finished after it got more room."""

    def __init__(self, root):
        self.root, self.tries, self.full, self.lost, self.torn, self.wrong = root, 0, 0, 0, 0, 0
        (root / "plan.yaml").write_text(REAL)
        self.whole = root / "whole"

    def run(self, sizes):
        """Try `robench run` in every size, then `robench merge`."""
        options = [self.root / "plan.yaml", "--threads", "1", "-q", "-o"]
        assert robench("run", *options, self.whole)[0] == 0
        for size in sizes:
            self.once(size, "run", *options)
            self.once(size, "merge", self.whole, "-o")

    def once(self, size, *command):
        """Give a command a disk of so many KiB, then room enough."""
        disk = self.root / "disk"
        disk.mkdir(exist_ok=True)
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}k", "none", disk], check=True)
        try:
            out = disk / "out"
            code, message = robench(*command, out)
            self.tries += 1
            self.full += code != 0
            if code not in (0, 4) or "Traceback" in message or (code and "No space left" not in message):
                self.wrong += 1
                say(f"{size} KiB, {command[0]}: exit code {code}: {message[-600:]}")
            self.torn += len(pieces := torn(out) if out.exists() else [])
            before = units_of(out)
            subprocess.run(["mount", "-o", "remount,size=200m", disk], check=True)
            code, message = robench(*command, out)
            self.wrong += code != 0
            after = units_of(out)
            self.lost += sum(after.get(name) != content for name, content in before.items())
            same = differences_of(Store(self.whole), Store(out)).same
            self.lost += not same
            remainder = f"{len(before)} of {len(after)} records, {pieces or 'nothing'} torn"
            say(f"{size} KiB, {command[0]}: {remainder}; the same in the end: {same}")
        finally:
            subprocess.run(["umount", disk], check=True)


def say(text):
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def main():
    """Read the command line and do what it says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs=3, default=(16, 1200, 60), help="KiB: first, last, step")
    options = parser.parse_args()
    root = Path(tempfile.mkdtemp())
    try:
        campaign = Campaign(root)
        campaign.run(range(*options.sizes))
        counts = f"{campaign.tries} commands, {campaign.full} met a full disk"
        losses = f"{campaign.lost} records lost or changed, {campaign.torn} torn files"
        say(f"{counts}: {losses}, {campaign.wrong} wrong endings")
    finally:
        shutil.rmtree(root)


if __name__ == "__main__":
    main()
