"""With an index and without it a folder reads the same, whatever happens to its records and to the index."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.free_attacks import Shape, lay_out
from benchmarks.free_attacks import record as free_record
from reports.text.csv import CSV
from reports.text.json import JSON
from robench.errors import StorageError
from robench.record import files, store
from robench.record.columns.packed_columns import unpacked_columns
from robench.record.index import folder_index, index_pieces
from robench.record.index.index_file import INDEX, DamagedIndexError, pieces_of, write_index
from robench.record.index.index_layout import PieceError
from robench.record.index.index_rows import Piece
from robench.record.schema import Finding
from robench.record.seal import sealed_text
from robench.record.store import Store
from tests.records import changed

SHAPE = Shape(models=3, attacks=2, shards=2, images=4, transfer=True)


@pytest.fixture(autouse=True)
def eager(monkeypatch):
    """Indexes of any size, of files of any age."""
    monkeypatch.setattr(folder_index, "FEWEST", 1)
    monkeypatch.setattr(store, "FEWEST", 1)
    monkeypatch.setattr(folder_index, "SETTLED_NS", -(10**18))


@pytest.fixture
def run(tmp_path):
    lay_out(tmp_path / "run", SHAPE)
    return tmp_path / "run"


@pytest.fixture
def reads(monkeypatch):
    """The keys of the records that were read from their files."""
    keys = []
    whole = Store._read
    monkeypatch.setattr(Store, "_read", lambda self, key, **how: keys.append(key) or whole(self, key, **how))
    return keys


def shown(root, *, index):
    """What a folder shows, byte for byte, and what it says is damaged."""
    records, faults = Store(root).readable(index=index)
    texts = [one.to_json() for one in records]
    return texts, faults, (CSV().render(records), JSON().render(records)) if records else None


def same(root):
    """A folder shows the same with its index and without it; the second time the index is used."""
    plain = shown(root, index=False)
    assert shown(root, index=True) == plain
    assert shown(root, index=True) == plain


@pytest.mark.thorough
def test_what_the_index_knows_is_not_read_and_is_the_same(run, reads):
    plain = Store(run).readable()[0]
    Store(run).readable(index=True)
    assert len(reads) == 2 * SHAPE.units
    reads.clear()
    records, faults = Store(run).readable(index=True)
    assert not reads
    assert not faults
    for one, other in zip(records, plain, strict=True):
        assert one.conditions.plain() == other.provenance.plain() | {"crafted": ""}
        assert one == other
        assert hash(one.columns) == hash(other.columns)
        assert one.provenance.plain() == other.provenance.plain()
        assert one.columns.total("forwards") == other.columns.total("forwards")
        assert one.draws == other.draws
        assert one.to_json() == other.to_json()
    same(run)


def test_random_models_findings_and_what_records_say_beside_are_kept(run):
    own = Store(run)
    one = own.read(own.planned()[0])
    marks = ["0110", "1111", "0000", "1010"]
    texts = {
        "draws": one.noting(columns=unpacked_columns({**one.columns.plain(), "stood": marks})),
        "found": changed(one, findings=(Finding(code="nonfinite", evidence="é\ud800", remedy="r"),)),
        "seed": one.noting(seed=2**70),
        "made": changed(one, provenance={"seconds": 3, "versions": {"torch": "2"}, "later": [1, None]}),
        "engine": changed(one, provenance={"engine": {"used": "it", "not_used": {"copy": "slow"}}}),
    }
    for key, other in texts.items():
        own.write(other.noting(key=key))
    own.write_json("run.json", {**own.facts()[0], "units": [*own.planned(), *texts]})
    same(run)
    assert [r.key for r in own.readable(index=True)[0]][-len(texts) :] == list(texts)
    assert own.read("draws").draws == 4


def test_few_and_fresh_records_have_no_index(run, monkeypatch):
    monkeypatch.setattr(folder_index, "SETTLED_NS", 10**12)
    Store(run).readable(index=True)
    assert not (run / INDEX).exists()
    monkeypatch.setattr(folder_index, "SETTLED_NS", -(10**18))
    monkeypatch.setattr(store, "FEWEST", SHAPE.units + 1)
    Store(run).readable(index=True)
    assert not (run / INDEX).exists()
    Store(run).readable()
    assert not (run / INDEX).exists()


def test_every_command_that_must_read_everything_does(run, reads):
    own = Store(run)
    own.readable(index=True)
    reads.clear()
    own.readable()
    assert len(reads) == SHAPE.units


def test_the_end_of_a_run_reads_everything_once_and_leaves_the_index(run, reads):
    plain = Store(run).readable()[0]
    for _ in range(2):  # an index that is there already is not believed
        reads.clear()
        records = Store(run).read_records(anew=True)
        assert len(reads) == SHAPE.units
        assert records == plain
    reads.clear()
    records = Store(run).read_records(index=True)
    assert not reads
    assert records == plain
    path = Store(run).unit(Store(run).planned()[0])
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(StorageError):
        Store(run).read_records(anew=True)
    same(run)


@pytest.mark.parametrize("change", ["bit", "cut", "touch", "other", "link", "mode"])
def test_a_record_that_changed_is_read(run, reads, change):
    own = Store(run)
    key = own.planned()[3]
    path = own.unit(key)
    own.readable(index=True)
    content = bytearray(path.read_bytes())
    status = path.stat()
    match change:
        case "bit":  # of the same size, and its time set back
            content[len(content) // 2] ^= 1
            path.write_bytes(content)
            os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
        case "cut":
            path.write_bytes(content[:-9])
        case "touch":
            os.utime(path)
        case "other":
            other = own.read(key)
            own.write(other.noting(seed=9), replace=True)
        case "link":
            shutil.move(path, run / "elsewhere")
            path.symlink_to(run / "elsewhere")
        case "mode":
            path.chmod(0o400)
    reads.clear()
    Store(run).readable(index=True)
    assert key in reads
    same(run)


def test_what_is_not_at_hand_is_read_from_the_record_that_was_indexed(run):
    own = Store(run)
    own.readable(index=True)
    record = own.readable(index=True)[0][-1]
    far = record.columns.array("l2").tolist()
    assert far == Store(run).read(record.key).columns.l2
    later = Store(run).readable(index=True)[0][-1]
    # Other costs, the same verdicts: it is another record all the same.
    columns = own.read(record.key).columns
    columns.l2[0] += 1
    own.write(own.read(record.key).noting(columns=columns), replace=True)
    with pytest.raises(StorageError, match="another one, written since then"):
        later.columns.array("l2")


@pytest.mark.thorough
def test_every_flipped_bit_of_an_index_is_noticed(tmp_path):
    lay_out(tmp_path, Shape(models=1, attacks=1, shards=1, images=1))
    Store(tmp_path).readable(index=True)
    path = tmp_path / INDEX
    content = path.read_bytes()
    assert list(pieces_of(path))
    for at in range(8 * len(content)):
        variant = bytearray(content)
        variant[at >> 3] ^= 1 << (at & 7)
        path.write_bytes(variant)
        with pytest.raises(DamagedIndexError):
            list(pieces_of(path))


@pytest.mark.thorough
def test_an_index_that_is_cut_or_grown_anywhere_is_none(run):
    Store(run).readable(index=True)
    path = run / INDEX
    content = path.read_bytes()
    for variant in (
        b"",
        content[:-1],
        content[1:],
        content[:100],
        content + b"\0",
        content * 2,
        b"\0" * 9000,
    ):
        path.write_bytes(variant)
        with pytest.raises(DamagedIndexError):
            list(pieces_of(path))
        same(run)
        assert list(pieces_of(path))  # it was made again


@pytest.mark.parametrize("kind", ["fifo", "folder", "device", "loop"])
def test_what_is_no_file_in_the_place_of_an_index_is_no_matter(run, kind):
    path = run / INDEX
    match kind:
        case "fifo":
            os.mkfifo(path)
        case "folder":
            path.mkdir()
        case "device":
            path.symlink_to("/dev/zero")
        case "loop":
            path.symlink_to(path)
    same(run)


def test_a_disk_that_is_full_costs_the_index_alone(run, monkeypatch):
    def full(path, pieces):
        for _ in pieces:
            raise StorageError(where=str(path), expected="to write the file", got="No space left on device")

    monkeypatch.setattr(folder_index, "write_index", full)
    same(run)
    assert not (run / INDEX).exists()
    monkeypatch.undo()
    monkeypatch.setattr(files.os, "fsync", lambda handle: (_ for _ in ()).throw(OSError(28, "No space left")))
    with pytest.raises(StorageError, match="No space left"):
        write_index(run / INDEX, [b"x"])
    assert not list(run.glob(".*tmp"))


def test_a_folder_that_cannot_be_written_to_is_read_all_the_same(run, monkeypatch):
    def refused(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(files.os, "replace", refused)
    same(run)
    assert not (run / INDEX).exists()


@pytest.mark.thorough
def test_new_records_are_added_and_pieces_that_serve_are_kept(run, reads, monkeypatch):
    own = Store(run)
    own.readable(index=True)
    (first,) = pieces_of(run / INDEX)
    key = own.planned()[0]
    own.write(own.read(key).noting(seed=3), replace=True)
    own.readable(index=True)
    old_piece, new_piece = pieces_of(run / INDEX)
    assert old_piece == first
    assert Piece(new_piece).keys == [key]
    reads.clear()
    own.readable(index=True)
    assert not reads
    for other in own.planned()[: SHAPE.units // 2 + 1]:
        os.utime(own.unit(other))
    own.readable(index=True)
    same(run)
    monkeypatch.setattr(index_pieces, "MOST_ROWS", 3)
    (run / INDEX).unlink()
    same(run)
    assert len(list(pieces_of(run / INDEX))) == -(-SHAPE.units // 3)


def hostile(run, change):
    """Write an index with right checksums around a piece that was changed."""
    path = run / INDEX
    (piece,) = pieces_of(path)
    write_index(path, [change(piece)])


def replaced(old, new):
    def change(piece):
        assert len(old) == len(new)
        assert old in piece
        return piece.replace(old, new, 1)

    return change


@pytest.mark.parametrize(
    "change",
    [
        lambda piece: b"",
        lambda piece: piece[:8],
        lambda piece: b"\xff" * 8 + piece[8:],
        lambda piece: piece[:-1],
        lambda piece: piece + b"\0",
        replaced(b'"version": 1', b'"version": 2'),
        replaced(b'"version": 1', b'"version":[]'),
        replaced(b'"target": [{', b'"target": [['),
        replaced(b'"seed": [0]', b'"seed":[1.]'),
        replaced(b'"keys": "', b'"kezs": "'),
        replaced(b'"label": [[{"same": 1}, 4]', b'"label": [[{"same": 1}, 9]'),
        replaced(b'"label": [[{"same": 1}, 4]', b'"label": [[{"same": 1},-4]'),
        lambda piece: piece[:-3] + b"\x09" + piece[-2:],
        lambda piece: b"\xf8\xff\x3f\x00" + b"\0" * 4 + b"[" * 0x3FFFF8,
    ],
)
def test_a_hostile_index_with_right_checksums_is_none(run, change):
    Store(run).readable(index=True)
    (piece,) = pieces_of(run / INDEX)
    with pytest.raises(PieceError):
        Piece(change(piece))
    hostile(run, change)
    same(run)


def test_an_index_of_another_folder_is_not_believed(run, tmp_path, reads):
    Store(run).readable(index=True)
    shutil.copytree(run, tmp_path / "copy", copy_function=shutil.copy2)
    reads.clear()
    Store(tmp_path / "copy").readable(index=True)
    assert len(reads) == SHAPE.units


STEPS = st.one_of(
    st.tuples(st.just("show"), st.just(0), st.just(0)),
    st.tuples(
        st.sampled_from(["replace", "delete", "flip", "cut", "back", "touch"]),
        st.integers(0, SHAPE.units - 1),
        st.integers(0, 10**6),
    ),
    st.tuples(st.sampled_from(["flip index", "cut index", "old index"]), st.just(0), st.integers(0, 10**6)),
)


@pytest.mark.thorough
@settings(deadline=None, max_examples=25)
@given(st.lists(STEPS, max_size=12))
def test_whatever_happens_to_records_and_index_it_shows_the_same(steps):
    place = Path(tempfile.mkdtemp())
    try:
        own = lay_out(place, SHAPE)
        keys, older = own.planned(), b""
        for kind, which, where in [*steps, ("show", 0, 0)]:
            path = own.unit(keys[which]) if "index" not in kind else place / INDEX
            content = bytearray(path.read_bytes()) if path.exists() else bytearray()
            match kind:
                case "show":
                    before = shown(place, index=False)
                    older = (place / INDEX).read_bytes() if (place / INDEX).exists() else older
                    assert shown(place, index=True) == before
                    assert shown(place, index=True) == before
                case "replace" | "back":
                    new = free_record(SHAPE, 0, 0).noting(
                        key=keys[which], seed=where if kind == "replace" else 0
                    )
                    path.write_text(sealed_text(new.to_json()) + "\n")
                case "delete":
                    path.unlink(missing_ok=True)
                case "touch" if content:
                    os.utime(path)
                case "flip" | "flip index" if content:
                    content[where % len(content)] ^= 1 << where % 8
                    path.write_bytes(content)
                case "cut" | "cut index" if content:
                    path.write_bytes(content[: where % len(content)])
                case "old index" if older:
                    path.write_bytes(older)
    finally:
        shutil.rmtree(place)


_WRITER = """
import sys
from pathlib import Path
from robench.record import store
from robench.record.index import folder_index
folder_index.FEWEST = store.FEWEST = 1
folder_index.SETTLED_NS = -(10**18)
print("begun", flush=True)
while True:
    (Path(sys.argv[1]) / "index.bin").unlink(missing_ok=True)
    store.Store(Path(sys.argv[1])).readable(index=True)
"""


@pytest.mark.thorough
def test_two_at_once_and_kills_at_any_moment_leave_a_whole_index_or_none(run):
    plain = shown(run, index=False)
    for number in range(6):
        pair = [
            subprocess.Popen([sys.executable, "-c", _WRITER, str(run)], stdout=subprocess.PIPE) for _ in "ab"
        ]
        try:
            for one in pair:
                assert one.stdout.readline() == b"begun\n"
            for _ in range(3):
                assert shown(run, index=True) == plain
            time.sleep(0.01 * number)
        finally:
            for one in pair:
                one.send_signal(signal.SIGKILL)
                one.wait()
                one.stdout.close()
        list(pieces_of(run / INDEX))  # raises where it is torn
    same(run)
