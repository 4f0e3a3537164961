"""Every reader of files that strangers make: what it is asked to read, and what it may answer."""

from dataclasses import dataclass, field
from typing import Any

from hypothesis import strategies as st

from tests.faults.fuzz.checkpoint_files import (
    CARD,
    OLD_PT,
    PT,
    SAFE,
    SAFE_TOKENS,
    TORCH_STEPS,
    TRAINING,
    read_card,
    read_checkpoint,
    read_safetensors,
    read_training,
    safetensors_headers,
    strided,
    torch_archives,
)
from tests.faults.fuzz.configurations import YAML, YAML_TOKENS, read_yaml, yaml_text
from tests.faults.fuzz.data_files import (
    CIFAR,
    IDX,
    JPEG_ZIPS,
    MAT,
    MAT_TOKENS,
    NPY_TOKENS,
    NPZ,
    PICTURE_TOKENS,
    PICTURES,
    arrays,
    cifar_bytes,
    npy_members,
    read_arrays,
    read_cifar,
    read_folder,
    read_idx_pair,
    read_jpeg_zip,
    read_npz,
    read_svhn,
)
from tests.faults.fuzz.indexes import damages, read_index
from tests.faults.fuzz.mutations import damaged, damaged_members, programs
from tests.faults.fuzz.run_folders import (
    facts_bytes,
    history_pairs,
    journal_bytes,
    plan_bytes,
    read_facts,
    read_history,
    read_journal_file,
    read_plan,
    read_record,
    record_bytes,
)
from tests.faults.fuzz.run_tensors import crafted_bytes, read_crafted, read_geometry, snapshot_bytes
from tests.faults.fuzz.submissions import read_one, submission_bytes


@dataclass(frozen=True, kw_only=True)
class Reader:
    """A way of reading.

    Attributes:
        inputs: draws what is read.
        read: is given a folder and what was drawn, and reads it; what it asserts is what is sane.
        keep: the input as bytes, to keep what a fault was found with.
    """

    inputs: Any
    read: Any
    keep: Any = field(default=lambda data: data if isinstance(data, bytes) else repr(data).encode())


READERS = {
    "configuration": Reader(inputs=yaml_text, read=read_yaml),
    "npz": Reader(
        inputs=st.one_of(damaged(NPZ, NPY_TOKENS), damaged_members(NPZ, NPY_TOKENS), npy_members()),
        read=read_npz,
    ),
    "idx": Reader(
        inputs=st.one_of(st.tuples(damaged(IDX), st.just(IDX[1])), st.tuples(st.just(IDX[0]), damaged(IDX))),
        read=read_idx_pair,
    ),
    "cifar pickle": Reader(
        inputs=st.one_of(
            st.tuples(cifar_bytes, st.just(CIFAR[3])), st.tuples(st.just(CIFAR[1]), cifar_bytes)
        ),
        read=read_cifar,
    ),
    "matlab": Reader(inputs=damaged(MAT, MAT_TOKENS), read=read_svhn),
    "image folder": Reader(inputs=damaged(PICTURES, PICTURE_TOKENS), read=read_folder),
    "jpeg zip": Reader(inputs=st.one_of(damaged(JPEG_ZIPS), damaged_members(JPEG_ZIPS)), read=read_jpeg_zip),
    "torch zip": Reader(
        inputs=st.one_of(damaged(PT), damaged_members(PT, TORCH_STEPS), torch_archives(), strided()),
        read=read_checkpoint,
    ),
    "torch old": Reader(
        inputs=st.one_of(damaged(OLD_PT, TORCH_STEPS), programs(TORCH_STEPS, most=60)), read=read_checkpoint
    ),
    "safetensors": Reader(
        inputs=st.one_of(damaged(SAFE, SAFE_TOKENS), safetensors_headers()), read=read_safetensors
    ),
    "card and hash": Reader(
        inputs=st.tuples(
            damaged((CARD, *YAML), YAML_TOKENS), st.one_of(st.just(b""), st.binary(max_size=80))
        ),
        read=read_card,
    ),
    "training state": Reader(
        inputs=st.one_of(damaged(TRAINING), damaged_members(TRAINING, TORCH_STEPS), damaged(PT)),
        read=read_training,
    ),
    "arrays": Reader(inputs=st.tuples(arrays(4), arrays(1)), read=read_arrays),
    "record": Reader(inputs=record_bytes, read=read_record),
    "run.json": Reader(inputs=facts_bytes, read=read_facts),
    "plan.json": Reader(inputs=plan_bytes, read=read_plan),
    "journal": Reader(inputs=journal_bytes, read=read_journal_file),
    "geometry": Reader(inputs=snapshot_bytes, read=read_geometry),
    "crafted images": Reader(inputs=crafted_bytes, read=read_crafted),
    "training history": Reader(inputs=history_pairs, read=read_history),
    "index": Reader(inputs=damages, read=read_index),
    "submission": Reader(inputs=submission_bytes, read=read_one),
}
