"""The index of a run folder, damaged, and hostile: with right checksums around whatever is in it."""

from unittest import mock

from hypothesis import strategies as st

from benchmarks.free_attacks import Shape, lay_out
from robench.errors import StorageError
from robench.record import store
from robench.record.index import folder_index
from robench.record.index.index_file import INDEX, DamagedIndexError, pieces_of, write_index
from robench.record.index.index_layout import PieceError
from robench.record.index.index_rows import Piece
from robench.record.store import Store
from tests.faults.fuzz.mutations import OPERATIONS, mutate
from tests.faults.fuzz.run_folders import JSON_TOKENS, show

SHAPE = Shape(models=2, attacks=1, shards=2, images=3)
TOKENS = [*JSON_TOKENS, b'"version": 1', b'[[{"same": 1}, 3]]', b'{"from": 0}', b"\xff" * 8, b"\0" * 32]
damages = st.tuples(st.booleans(), st.lists(OPERATIONS, min_size=1, max_size=6))


def read_index(folder, drawn):
    """A folder whose index is damaged shows what its records say; a hostile one ends nothing."""
    is_resealed, operations = drawn
    root = folder / "indexed"
    eager = {"FEWEST": 1, "SETTLED_NS": -(10**18)}
    with mock.patch.multiple(folder_index, **eager), mock.patch.object(store, "FEWEST", 1):
        if not root.is_dir():
            lay_out(root, SHAPE)
        plain = Store(root).readable()[0]
        (root / INDEX).unlink(missing_ok=True)
        Store(root).readable(index=True)
        (piece,) = pieces_of(root / INDEX)
        if is_resealed:
            write_index(root / INDEX, [mutate(piece, piece, TOKENS, operations)])
        else:
            whole = (root / INDEX).read_bytes()
            (root / INDEX).write_bytes(mutate(whole, whole, TOKENS, operations))
        try:
            unread = [Piece(data).keys for data in pieces_of(root / INDEX)] != [Piece(piece).keys]
        except (DamagedIndexError, PieceError):
            unread = True
        records, faults = Store(root).readable(index=True)
        assert not faults
        assert [one.key for one in records] == [one.key for one in plain]
        if not is_resealed:  # a checksum is no signature: a hostile index with right ones may say anything
            assert records == plain
        show(records)
        for one in records:
            one.provenance.plain()
            one.columns.array("l2")
        if unread:
            raise StorageError(expected="an index", got="none")
