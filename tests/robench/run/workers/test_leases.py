"""Leases: one holder at a time, none lost with the dead, one plan in a folder."""

import contextlib
import errno
import json
import os
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest
from filelock import FileLock

from robench.errors import ConfigError, StorageError
from robench.run.workers import folder_lock, leases
from robench.run.workers.leases import Leases

PLAN = "abc"


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "leases"


def test_a_lease_has_one_holder_until_it_is_given_back(folder):
    with Leases(folder).joined(PLAN) as one, Leases(folder).joined(PLAN) as other:
        assert one.take("k")
        assert one.take("k")  # it has it already
        assert not other.take("k")
        assert other.take("another")
        one.free("k")
        assert other.take("k")
        assert (one.others(), other.others()) == (1, 1)
    assert not folder.exists()


def test_what_a_run_holds_ends_with_it(folder):
    with Leases(folder).joined(PLAN) as one:
        with Leases(folder).joined(PLAN) as other:
            assert other.take("k")
        assert one.take("k")


def rewritten(path, **facts):
    path.write_text(json.dumps(json.loads(path.read_text()) | facts))


def test_a_lease_of_a_dead_process_is_taken_over_at_once(folder):
    with Leases(folder).joined(PLAN) as one, Leases(folder).joined(PLAN) as other:
        assert one.take("k")
        rewritten(folder / "k.lease", since="0")  # another process had this number
        assert other.take("k")


def test_a_lease_of_another_machine_is_taken_over_when_its_heart_has_stopped(folder):
    with Leases(folder, stale=30).joined(PLAN) as one, Leases(folder, stale=30).joined(PLAN) as other:
        assert one.take("k")
        rewritten(folder / "k.lease", machine="elsewhere")
        assert not other.take("k")
        os.utime(folder / "k.lease", times=(time.time() - 40, time.time() - 40))
        assert other.take("k")


@pytest.mark.skipif(not os.path.exists("/proc/self/ns/pid"), reason="no containers")
def test_a_process_of_another_container_of_this_machine_is_not_dead(folder):
    inside = os.readlink("/proc/self/ns/pid")
    with Leases(folder, stale=30).joined(PLAN) as one, Leases(folder, stale=30).joined(PLAN) as other:
        assert one.take("k")
        facts = json.loads((folder / "k.lease").read_text())
        assert inside in facts["machine"]
        rewritten(folder / "k.lease", machine=facts["machine"].replace(inside, "pid:[1]"), pid=2**22 + 1)
        assert not other.take("k")


def test_a_heart_beats(folder):
    with Leases(folder, stale=30, beat=0.02).joined(PLAN) as one:
        assert one.take("k")
        long_ago = time.time() - 1000
        os.utime(folder / "k.lease", times=(long_ago, long_ago))
        deadline = time.monotonic() + 20
        while (folder / "k.lease").stat().st_mtime < time.time() - 30 and time.monotonic() < deadline:
            time.sleep(0.01)
        assert (folder / "k.lease").stat().st_mtime > time.time() - 30


@pytest.mark.parametrize("text", ["", "[]", "{", "[" * 100_000, "{}"])
def test_a_damaged_lease_is_one_of_somebody_who_may_be_alive(folder, text):
    with Leases(folder, stale=30).joined(PLAN) as one:
        (folder / "k.lease").write_text(text)
        assert not one.take("k")
        os.utime(folder / "k.lease", times=(time.time() - 40, time.time() - 40))
        assert one.take("k")


@pytest.mark.parametrize("name", ["k", "run-0"])
def test_a_fifo_in_the_place_of_a_lease_is_not_waited_for(folder, name):
    with Leases(folder, stale=30).joined(PLAN) as one:
        path = folder / f"{name}.lease"
        os.mkfifo(path)
        assert not one.take(name)
        os.utime(path, times=(time.time() - 40, time.time() - 40))
        assert (one.others(), one.take(name)) == (0, True)


def test_a_lease_of_the_future_is_of_nobody(folder):
    with Leases(folder, stale=30).joined(PLAN) as one:
        path = folder / "k.lease"
        path.write_text("{}")
        os.utime(path, times=(time.time() + 10**6, time.time() + 10**6))
        assert one.take("k")


def test_a_lease_that_cannot_be_deleted_is_not_waited_for(folder):
    with Leases(folder, stale=30).joined(PLAN) as one:
        path = folder / "k.lease"
        path.mkdir()
        os.utime(path, times=(time.time() - 40, time.time() - 40))
        with pytest.raises(StorageError, match="expected to take over an abandoned lease"):
            one.take("k")
        path.rmdir()


def test_a_number_that_is_no_process_is_of_nobody(folder):
    with Leases(folder).joined(PLAN) as one, Leases(folder).joined(PLAN) as other:
        assert one.take("k")
        rewritten(folder / "k.lease", pid=10**30)
        assert other.take("k")


def test_a_stopped_process_of_this_machine_still_takes_part(folder):
    with Leases(folder, stale=30, beat=1000).joined(PLAN) as one:
        assert one.take("k")
        for path in folder.glob("*.lease"):
            os.utime(path, times=(time.time() - 40, time.time() - 40))
        refusal = pytest.raises(ConfigError, match="the configuration that other processes are running")
        with refusal, Leases(folder, stale=30).joined("another"):
            pass
        with Leases(folder, stale=30).joined(PLAN) as other:
            assert other.others() == 1
            assert other.take("k")  # its work does not wait


def test_who_was_taken_for_abandoned_does_not_take_the_living_for_it(folder):
    with Leases(folder, stale=30).joined(PLAN) as one, Leases(folder, stale=30).joined(PLAN) as other:
        assert other.take("k")
        (folder / f"{one._me}.lease").unlink()
        assert not one.take("k")
        assert one.take("another")


def test_without_hard_links_a_lease_has_one_holder_too(folder, monkeypatch):
    def refuse(*_):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    with Leases(folder).joined(PLAN) as one, Leases(folder).joined(PLAN) as other:
        assert one.take("k")
        assert not other.take("k")
        rewritten(folder / "k.lease", since="0")
        assert other.take("k")


def full(*_, **__):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("links", [True, False])
def test_a_full_disk_leaves_no_piece_of_a_lease(folder, monkeypatch, links):
    with Leases(folder).joined(PLAN) as one, monkeypatch.context() as patch:
        if links:
            patch.setattr(leases.Path, "write_text", full)
        else:
            patch.setattr(os, "link", full)
            patch.setattr(leases.Path, "open", half_open(leases.Path.open))
        with pytest.raises(StorageError, match="to write a lease, got No space left"):
            one.take("k")
        assert [path.stem for path in folder.iterdir()] == [one._me]
        patch.undo()
        assert one.take("k")
    assert not folder.exists()


def half_open(whole):
    """Return an `open` of new files that take three characters and no more."""

    @contextlib.contextmanager
    def opened(path, *args, **options):
        with whole(path, *args, **options) as file:
            if "x" in args:
                yield SimpleNamespace(write=lambda text: (file.write(text[:3]), file.flush(), full()))
            else:
                yield file

    return opened


def test_who_waits_for_a_lock_can_be_asked_to_stop(folder, monkeypatch):
    requests = []

    def check():
        requests.append(1)
        if len(requests) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(folder_lock, "LOOK", 0.01)
    with FileLock(folder.parent / ".lock"):
        with pytest.raises(KeyboardInterrupt), Leases(folder, check=check).joined(PLAN):
            pass
        monkeypatch.setattr(folder_lock, "PATIENCE", 0.05)
        with pytest.raises(ConfigError, match="a run folder that can be locked"), Leases(folder).joined(PLAN):
            pass
    with Leases(folder).joined(PLAN):
        pass


def test_a_file_in_the_place_of_the_folder_is_refused(folder):
    folder.write_text("")
    with pytest.raises(StorageError, match="expected a folder"), Leases(folder).joined(PLAN):
        pass


def test_another_plan_is_refused_while_a_run_is_alive(folder):
    with Leases(folder).joined(PLAN):
        refusal = pytest.raises(ConfigError, match="the configuration that other processes are running")
        with refusal, Leases(folder).joined("another"):
            pass
        with Leases(folder).joined(PLAN):
            pass
    with Leases(folder).joined("another"):
        pass


@pytest.mark.parametrize(("first", "second"), [(True, False), (False, True)])
def test_who_wants_to_be_alone_is(folder, first, second):
    refusal = pytest.raises(ConfigError, match="another robench process is writing to")
    with Leases(folder).joined(PLAN, alone=first), refusal, Leases(folder).joined(PLAN, alone=second):
        pass


def test_a_killed_process_no_longer_keeps_others_out(folder):
    code = (
        "import sys; from pathlib import Path; from robench.run.workers.leases import Leases\n"
        "with Leases(Path(sys.argv[1])).joined('p', alone=True): print('held', flush=True); sys.stdin.read()"
    )
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", code, str(folder)], stdin=pipe, stdout=pipe) as other:
        assert other.stdout.readline() == b"held\n"
        refusal = pytest.raises(ConfigError, match="another robench process")
        with refusal, Leases(folder).joined(PLAN):
            pass
        other.kill()
        other.wait()
    with Leases(folder).joined(PLAN) as one:
        assert one.others() == 0


CROWD = """
import sys, time
from pathlib import Path
from robench.run.workers.leases import Leases

with Leases(Path(sys.argv[1])).joined("p") as leases:
    for name in range(60):
        if not (Path(sys.argv[1]).parent / f"done-{name}").exists() and leases.take(str(name)):
            done = Path(sys.argv[1]).parent / f"done-{name}"
            if not done.exists():
                with open(done, "x") as file:  # raises if two did it
                    file.write(sys.argv[2])
            leases.free(str(name))
"""


def test_a_crowd_does_everything_once(folder):
    command = [sys.executable, "-c", CROWD, str(folder)]
    crowd = [subprocess.Popen([*command, str(number)], stderr=subprocess.PIPE) for number in range(4)]
    assert [process.communicate()[1] for process in crowd] == [b""] * 4
    assert len(list(folder.parent.glob("done-*"))) == 60
    assert not folder.exists()
