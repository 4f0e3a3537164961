"""Records that are read by several processes show, and leave in the index, what one process makes of them."""

import json
import os
import shutil
import signal
import subprocess
import sys

import pytest

from benchmarks.free_attacks import Shape, lay_out
from robench.errors import StorageError
from robench.record import store
from robench.record.index import folder_index, index_pieces, index_readers
from robench.record.index.index_file import INDEX, pieces_of
from robench.record.index.index_pieces import Share, pieces_of_share, shares_of
from robench.record.index.index_readers import pieces_by_processes, usable_cores
from robench.record.index.index_rows import Piece
from robench.record.seal import sealed_text
from robench.record.store import Store
from tests.robench.record.index.test_folder_index import shown

SHAPE = Shape(models=3, attacks=2, shards=2, images=4, transfer=True)
LONG_AGO = -(10**18)


@pytest.fixture(autouse=True)
def eager(monkeypatch):
    """Several processes for any number of records, of files of any age."""
    for module in (folder_index, store):
        monkeypatch.setattr(module, "FEWEST", 1)
        monkeypatch.setattr(module, "MANY", 1)
    monkeypatch.setattr(folder_index, "SETTLED_NS", LONG_AGO)


@pytest.fixture
def run(tmp_path):
    lay_out(tmp_path / "run", SHAPE)
    return tmp_path / "run"


def cores(monkeypatch, count):
    monkeypatch.setattr(folder_index, "usable_cores", lambda: count)


def made(root):
    """What a folder without an index shows, and the index that this leaves."""
    (root / INDEX).unlink(missing_ok=True)
    return shown(root, index=True), (root / INDEX).read_bytes()


def damage(root):
    """Damage some records, each in another way; what is read of them is told or left out of the index."""
    own = Store(root)
    keys = own.planned()
    path = [own.unit(key) for key in keys]
    path[0].write_text(path[0].read_text()[:-40])  # torn
    path[3].write_text(path[3].read_text().replace("robust", "brokem").replace('"seed": 0', '"seed": 1'))
    path[5].unlink()
    os.mkfifo(path[5])
    shutil.move(path[7], root / "elsewhere")  # a link to a record is a record
    path[7].symlink_to(root / "elsewhere")
    path[8].unlink()
    path[8].symlink_to(root / "nothing")
    path[9].unlink()
    path[10].write_bytes(path[11].read_bytes())  # of another unit
    path[12].write_bytes(path[12].read_bytes().rstrip(b"\n"))  # cut
    plain = json.loads(path[13].read_text())
    del plain["sha256"]
    path[13].write_text(json.dumps(plain))  # without a checksum: it is good, and in no index
    plain["columns"]["label"] = {"same": "a"}
    path[14].write_text(sealed_text(json.dumps({**plain, "key": keys[14]})) + "\n")
    path[15].write_bytes(b"\xff\xfe")
    path[16].unlink()
    path[16].mkdir()
    return keys


@pytest.mark.parametrize("has_damage", [False, True])
def test_so_many_processes_as_one_likes_show_and_leave_the_same_bytes(run, monkeypatch, has_damage):
    keys = damage(run) if has_damage else Store(run).planned()
    plain = shown(run, index=False)
    assert bool(plain[1]) == has_damage
    cores(monkeypatch, 1)
    alone = made(run)
    assert alone[0] == plain
    for count in (2, 3):
        cores(monkeypatch, count)
        assert made(run) == alone
        assert shown(run, index=True) == plain
    rows = [key for data in pieces_of(run / INDEX) for key in Piece(data).keys]
    assert rows == [key for key in keys if key in rows]
    assert len(rows) == len(keys) - 11 * has_damage


def test_the_index_of_whole_records_is_that_of_reading_one_after_another(run, monkeypatch):
    monkeypatch.setattr(index_pieces, "SHARES", 1)
    cores(monkeypatch, 2)
    by_processes = made(run)
    for module in (folder_index, store):
        monkeypatch.setattr(module, "MANY", 10**9)
    assert made(run) == by_processes


def test_what_the_index_knows_is_not_read_again(run, monkeypatch):
    cores(monkeypatch, 2)
    plain = shown(run, index=False)
    made(run)
    own = Store(run)
    keys = own.planned()
    for key in keys[: len(keys) // 3]:
        os.utime(own.unit(key))
    requests = []
    by_processes = folder_index.pieces_by_processes
    monkeypatch.setattr(
        folder_index,
        "pieces_by_processes",
        lambda shares, n: requests.extend(shares) or by_processes(shares, n),
    )
    assert shown(run, index=True) == plain
    assert [key for share in requests for key in share.keys] == keys[: len(keys) // 3]
    assert shown(run, index=True) == plain
    assert len(requests) == len(shares_of(run, keys[: len(keys) // 3], 0))


def test_the_end_of_a_run_reads_all_and_refuses_what_is_damaged(run, monkeypatch):
    cores(monkeypatch, 2)
    records = Store(run).read_records(anew=True)
    assert records == Store(run).readable()[0]
    content = (run / INDEX).read_bytes()
    assert Store(run).read_records(anew=True) == records
    assert (run / INDEX).read_bytes() == content
    path = Store(run).unit(Store(run).planned()[4])
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(StorageError) as refusal:
        Store(run).read_records(anew=True)
    assert refusal.value.where == str(path)


_BAD = {
    "ends at once": "raise SystemExit(1)",
    "is killed": "import os, signal; os.kill(os.getpid(), signal.SIGKILL)",
    "tells no lengths": "print('hello')",
    "tells a list of other things": "print('[\"a\", -1]')",
    "tells too little": "print('[100]'); print('abc')",
    "tells no piece": "import sys; sys.stdin.readline(); print('[4]\\nabcd', end='', flush=True)",
    "cannot be started": None,
    "no interpreter": None,  # of a program that embeds Python
}


@pytest.mark.parametrize("way", _BAD)
def test_a_process_that_fails_costs_nothing_but_time(run, monkeypatch, way):
    cores(monkeypatch, 1)
    alone = made(run)
    cores(monkeypatch, 2)
    if _BAD[way] is None:
        path = str(run / "nothing") if way == "cannot be started" else None
        monkeypatch.setattr(index_readers.sys, "executable", path)
    else:
        monkeypatch.setattr(index_readers, "_START", _BAD[way])
    assert made(run) == alone


def test_pieces_of_other_records_are_not_taken(run, monkeypatch):
    cores(monkeypatch, 1)
    alone = made(run)
    other = pieces_of_share(Share(str(run), Store(run).planned(), LONG_AGO))
    monkeypatch.setattr(folder_index, "pieces_by_processes", lambda shares, count: [other] * len(shares))
    assert made(run) == alone


def test_where_most_records_cannot_be_in_an_index_no_process_is_started(run, monkeypatch):
    monkeypatch.setattr(folder_index, "SETTLED_NS", 10**18)  # they have changed just now
    cores(monkeypatch, 2)
    monkeypatch.setattr(folder_index, "pieces_by_processes", lambda *_: pytest.fail("processes were started"))
    assert shown(run, index=True) == shown(run, index=False)
    assert not (run / INDEX).exists()


def test_shares_depend_on_the_records_alone(tmp_path, monkeypatch):
    keys = [str(number) for number in range(100)]
    shares = shares_of(tmp_path, keys, 7)
    assert [key for share in shares for key in share.keys] == keys
    assert {len(share.keys) for share in shares} == {13, 9}
    monkeypatch.setattr(index_pieces, "MOST_ROWS", 3)
    assert max(len(share.keys) for share in shares_of(tmp_path, keys, 7)) == 3
    assert shares_of(tmp_path, [], 7) == []
    assert usable_cores() >= 1


def test_a_process_ends_with_whoever_asked_it(run):
    """Its stdin closes; and one in the middle of a share looks who its parent is."""
    share = Share(str(run), Store(run).planned(), LONG_AGO)
    with pytest.raises(InterruptedError):
        pieces_of_share(share, go_on=lambda: False)
    words = [sys.executable, "-P", "-c", index_readers._START, json.dumps(sys.path)]
    process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    answer = process.communicate(json.dumps(share._asdict()).encode() + b"\n", timeout=60)[0]
    assert process.returncode == 0
    first, _, rest = answer.partition(b"\n")
    assert [len(piece) for piece in pieces_of_share(share)] == json.loads(first)
    assert b"".join(pieces_of_share(share)) == rest


def test_an_interrupted_command_leaves_no_process(run, monkeypatch):
    processes = []
    plain = index_readers._Reader

    class Noted(plain):
        def __init__(self):
            super().__init__()
            processes.append(self._process)

        def pieces(self, share):
            os.kill(os.getpid(), signal.SIGINT)
            return super().pieces(share)

    monkeypatch.setattr(index_readers, "_Reader", Noted)
    # It never answers: whoever waits for it hears the signal all the same.
    monkeypatch.setattr(index_readers, "_START", "import time; time.sleep(600)")
    # A shell starts what runs in the background with this signal ignored.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            pieces_by_processes([Share(str(run), [], LONG_AGO)] * 3, 2)
    finally:
        signal.signal(signal.SIGINT, before)
    assert processes
    assert all(process.returncode is not None for process in processes)


def test_a_process_imports_no_torch_and_hears_no_interrupt():
    code = (
        "import os, signal, sys; from robench.record.index.index_readers import answer_shares;"
        "answer_shares();"
        "os.kill(os.getpid(), signal.SIGINT); assert 'torch' not in sys.modules; print('good')"
    )
    words = [sys.executable, "-P", "-c", f"import sys; sys.path[:] = {sys.path!r}; {code}"]
    outcome = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=False)
    assert outcome.stdout == b"good\n", outcome.stderr
