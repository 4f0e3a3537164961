"""Files of tensors in a run folder, small and valid, and what hostile ones are made of."""

import json
import struct
import tempfile
from pathlib import Path

import numpy as np
import torch
from hypothesis import strategies as st

from reports.board.feature_spaces import principal_plane
from reports.board.run_folder import read_run
from robench.attack.craft import Crafted
from robench.attack.ledger import Ledger
from robench.errors import StorageError
from robench.record.feature_snapshot import Cloud, FeatureSnapshot, Nearest, read_snapshot, write_snapshot
from robench.record.seal import sealed_tensors, unsealed_notes
from robench.record.store import Store
from robench.run.keeper import FolderKeeper
from tests.faults.fuzz.mutations import damaged
from tests.faults.fuzz.run_folders import (
    FACTS,
    JSON_TOKENS,
    ODD,
    SEALED,
    changed_values,
    folder_of_two,
    json_bytes,
)

# Features and crafted images


def snapshot():
    rng, labels = np.random.default_rng(0), np.arange(4) % 2
    cloud = Cloud(
        classes=(0, 1), choice="by hand", index=np.arange(4), label=labels, clean=labels,
        adversarial=1 - labels,
        clean_features=rng.normal(size=(4, 3)).astype(np.float32),
        adversarial_features=rng.normal(size=(4, 3)).astype(np.float32),
    )  # fmt: skip
    nearest = Nearest(
        template=9, index=np.array([3]), label=np.array([1]), clean=np.array([1]), adversarial=np.array([0]),
        queries=rng.integers(0, 256, (1, 2, 1, 2, 2), dtype=np.uint8), ids=rng.integers(0, 9, (1, 2, 3)),
        labels=np.array([[[1, 1, 0], [0, 0, 2]]]), distances=np.sort(rng.random((1, 2, 3)), axis=2),
        picture=rng.integers(0, 4, (1, 2, 3)), pictures=rng.integers(0, 256, (4, 1, 2, 2), dtype=np.uint8),
    )  # fmt: skip
    return FeatureSnapshot(units=("k1",), cloud=cloud, nearest=nearest)


def snapshots():
    with tempfile.TemporaryDirectory() as place:
        path, whole = Path(place) / "g.safetensors", snapshot()
        for one in (whole, FeatureSnapshot(units=("k1",), reason="no layer")):
            write_snapshot(path, one)
            yield path.read_bytes()


SNAPSHOTS = tuple(snapshots())


def opened(data):
    """Return header and body of a safetensors file."""
    end = 8 + struct.unpack("<Q", data[:8])[0]
    return json.loads(data[8:end]), data[end:]


def closed(header, body, *, seal):
    """Return a file with that header, with a right checksum if it can have one."""
    if seal and isinstance(header, dict) and isinstance(header.get("__metadata__"), dict):
        header = {**header, "__metadata__": {**header["__metadata__"], **unsealed_notes()}}
        text = json_bytes(header)
        whole = struct.pack("<Q", len(text)) + text + body
        try:
            return sealed_tensors(whole)
        except (ValueError, TypeError, AttributeError):
            return whole
    text = json_bytes(header)
    return struct.pack("<Q", len(text)) + text + body


@st.composite
def tensor_files(draw, seeds, notes_key):
    """Draw a file of tensors whose header, whose notes or whose numbers are changed, most with a checksum."""
    header, body = opened(draw(st.sampled_from(seeds)))
    match draw(st.sampled_from(["header", "notes", "body"])):
        case "header":
            header = draw(changed_values((header,)))
        case "notes":
            about = json.loads(header["__metadata__"][notes_key])
            about = draw(st.one_of(changed_values((about,)), ODD))
            text = draw(
                st.one_of(st.just(json.dumps(about)), damaged((json.dumps(about).encode(),), JSON_TOKENS))
            )
            header["__metadata__"][notes_key] = (
                text if isinstance(text, str) else text.decode("utf-8", "replace")
            )
        case "body":
            body = draw(damaged((body or b"\0" * 8,)))
    return closed(header, body, seal=draw(st.integers(0, 3)) > 0)


SAFE_TOKENS = [
    b'"F32"',
    b'"I64"',
    b'"U8"',
    b'"shape":[',
    b"0,",
    b"99999999999999999999",
    b'"data_offsets"',
    *JSON_TOKENS,
]
snapshot_bytes = st.one_of(damaged(SNAPSHOTS, SAFE_TOKENS), tensor_files(SNAPSHOTS, "geometry"))


def read_geometry(folder, data):
    store = folder_of_two(folder)
    store.unit("k1").write_bytes(SEALED[0])
    (store.root / "run.json").write_bytes(json_bytes(FACTS[0]))
    store.snapshot("g1").write_bytes(data)
    run = read_run(store.root)  # never an error: what cannot be read is named
    one = read_snapshot(store.snapshot("g1"))
    assert one.units
    if one.cloud:
        assert len(one.cloud.index) == len(one.cloud.clean_features) == len(one.cloud.adversarial_features)
    for space in run.feature_spaces:
        assert space.model
        if one.cloud and len(one.cloud.index):
            principal_plane(one.cloud.clean_features)


def crafted():
    with tempfile.TemporaryDirectory() as place:
        store = Store(Path(place))
        store.prepare()
        for micro_batch, not_used in ((2, {"copy": "slow"}), (0, {})):
            proposals = torch.rand(3, 1, 2, 2, generator=torch.Generator().manual_seed(0))
            one = Crafted(
                x_adv=proposals, ledger=Ledger.empty(3), seconds=1.5, engine="itself", not_used=not_used,
                micro_batch=micro_batch, proof={"outputs": 1e-7, "gradients": 2e-6} if not_used else {},
            )  # fmt: skip
            FolderKeeper(store, force=True).keep_crafted("k1", one)
            yield store.adv("k1").read_bytes()


CRAFTED = tuple(crafted())
crafted_bytes = st.one_of(damaged(CRAFTED, SAFE_TOKENS), tensor_files(CRAFTED, "not_used"))


def read_crafted(folder, data):
    store = folder_of_two(folder)
    path = store.adv("k1")
    path.write_bytes(data)
    result = FolderKeeper(store).crafted("k1")
    if result is None:
        raise StorageError(where=str(path), expected="crafted images", got="none")
    assert len(result.x_adv) >= 0
