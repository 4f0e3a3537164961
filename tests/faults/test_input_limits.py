"""Every reader opens regular files only, and none reads more than a limit that its error names."""

import io
import os
import pickle
import random
import socket
import struct
import subprocess
import sys
import tracemalloc
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from typer.testing import CliRunner

from defenses.training.training_state import load_state
from model_zoo.checkpoints import loading
from model_zoo.checkpoints.cards import card_path, described
from model_zoo.checkpoints.saving import save, sidecar_path
from model_zoo.datasets import CIFAR10, CIFAR10JPEG, MNIST, SVHN, ImageFolder, Npz
from model_zoo.datasets.cifar_pickle import read_batch
from model_zoo.datasets.class_names import check_classes, labels_of
from model_zoo.datasets.matlab import read_mat
from model_zoo.datasets.pictures import decode
from robench.cli import app
from robench.data.images import image_set
from robench.data.subset import balanced_rows
from robench.errors import CheckpointError, ConfigError, InputError, RobenchError
from robench.intake.archives import open_archive, read_member
from robench.intake.limits import CHECKPOINT, CONFIGURATION, DATA, LIMITS, Limit, size_text
from robench.intake.user_modules import UserModules
from robench.plan.yaml_reader import read_file
from robench.record.files import MOST_RECORD, MOST_TENSORS, MOST_TEXT
from tests.faults.fuzz.data_files import CIFAR, IDX, NPZ, PICTURES

needs_posix = pytest.mark.skipif(os.name != "posix", reason="pipes and devices have names on POSIX only")


def net():
    return nn.Linear(3, 2)


def mnist(path):
    (path.parent / "MNIST" / "raw").mkdir(parents=True)
    (path.parent / "MNIST" / "raw" / "t10k-labels-idx1-ubyte").write_bytes(IDX[1])
    (path.parent / "MNIST" / "raw" / "t10k-images-idx3-ubyte").symlink_to(path)
    return MNIST()("test", root=path.parent)


def cifar(path):
    (path.parent / "cifar-10-batches-py").mkdir()
    (path.parent / "cifar-10-batches-py" / "batches.meta").write_bytes(CIFAR[3])
    (path.parent / "cifar-10-batches-py" / "test_batch").symlink_to(path)
    return CIFAR10()("test", root=path.parent)


def linked(name, recipe):
    def read(path):
        (path.parent / name).symlink_to(path)
        return recipe("test", root=path.parent)

    return read


def folder(path):
    (path.parent / "set" / "test" / "a").mkdir(parents=True)
    (path.parent / "set" / "test" / "a" / "1.png").symlink_to(path)
    return ImageFolder(path=str(path.parent / "set"))("test")


def hash_beside(path):
    save(net(), path.parent / "m.safetensors")
    sidecar_path(path.parent / "m.safetensors").unlink()
    sidecar_path(path.parent / "m.safetensors").symlink_to(path)
    return loading.load(net(), path.parent / "m.safetensors")


READERS = {
    "configuration": read_file,
    "npz": lambda path: Npz(path=str(path))("test"),
    "idx": mnist,
    "cifar pickle": cifar,
    "jpeg zip": linked("cifar10-jpeg.zip", CIFAR10JPEG()),
    "matlab": linked("test_32x32.mat", SVHN()),
    "image folder": folder,
    "checkpoint": lambda path: loading.load(net(), path),
    "hash": hash_beside,
    "training state": lambda path: load_state(path, {}),
    "python file": lambda path: UserModules(path).load(),
}


def no_file(kind, path):
    """Put something at a path that is no file, and return what a message calls it."""
    match kind:
        case "pipe":
            os.mkfifo(path)
            return "a named pipe"
        case "device":
            path.symlink_to("/dev/zero")
            return "a device"
        case "folder":
            path.mkdir()
            return "a folder"
        case "link to a pipe":
            os.mkfifo(path.with_name("pipe"))
            path.symlink_to(path.with_name("pipe"))
            return "a named pipe"


@needs_posix
@pytest.mark.parametrize("kind", ["pipe", "device", "folder", "link to a pipe"])
@pytest.mark.parametrize("reader", READERS)
def test_what_is_no_regular_file_is_refused_and_not_waited_for(tmp_path, reader, kind):
    path = tmp_path / "x"
    got = no_file(kind, path)
    with pytest.raises(RobenchError, match=got) as error:
        READERS[reader](path)
    assert error.value.exit_code == 2


@needs_posix
def test_a_socket_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # names of sockets are short
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("s")
        with pytest.raises(ConfigError, match="a socket"):
            read_file(Path("s"))


@needs_posix
def test_links_to_regular_files_are_followed(tmp_path):
    (tmp_path / "d.npz").write_bytes(NPZ[0])
    (tmp_path / "l.npz").symlink_to(tmp_path / "d.npz")
    assert len(Npz(path=str(tmp_path / "l.npz"))("test")) == 3


@needs_posix
@pytest.mark.parametrize("source", ["/dev/zero", "pipe"])
def test_the_command_line_refuses_an_endless_configuration_with_exit_code_2(tmp_path, source):
    if source == "pipe":
        os.mkfifo(source := str(tmp_path / "pipe.yaml"))
    answer = CliRunner().invoke(app, ["run", source, "--out", str(tmp_path / "out")])
    assert answer.exit_code == 2
    assert "a regular file" in answer.output.replace("\n", " ")
    assert not (tmp_path / "out").exists()


def sparse(path, size):
    with path.open("wb") as file:
        file.truncate(size)
    return path


@pytest.mark.parametrize("name", ["m.pt", "m.pth", "m.safetensors", "m.pt2"])
def test_a_sparse_checkpoint_of_200_gigabytes_is_refused_unread(tmp_path, name):
    with pytest.raises(CheckpointError, match=r"at most 128 GiB, got 200 GiB.*ROBENCH_MAX_CHECKPOINT_BYTES"):
        loading.load(net(), sparse(tmp_path / name, 200 << 30))


@pytest.mark.parametrize("reader", ["npz", "idx", "cifar pickle", "jpeg zip", "matlab"])
def test_a_sparse_data_file_is_refused_unread(tmp_path, reader):
    with pytest.raises(InputError, match=r"at most 256 GiB, got 300 GiB.*ROBENCH_MAX_DATA_BYTES"):
        READERS[reader](sparse(tmp_path / "x", 300 << 30))


def test_a_variable_moves_a_limit_and_is_named(tmp_path, monkeypatch):
    path = tmp_path / "m.safetensors"
    save(net(), path)
    monkeypatch.setenv("ROBENCH_MAX_CHECKPOINT_BYTES", "10")
    with pytest.raises(CheckpointError, match=r"at most 10 bytes, got .* set ROBENCH_MAX_CHECKPOINT_BYTES"):
        loading.load(net(), path)
    monkeypatch.setenv("ROBENCH_MAX_CHECKPOINT_BYTES", "100000")
    loading.load(net(), path)


@pytest.mark.parametrize("text", ["0", "-1", "1e9", "many", "9" * 30])
def test_a_variable_that_is_no_number_is_refused(monkeypatch, text):
    monkeypatch.setenv("ROBENCH_MAX_DATA_BYTES", text)
    with pytest.raises(ConfigError, match=r"ROBENCH_MAX_DATA_BYTES.*whole number"):
        DATA.value()


def test_real_sizes_are_far_below_the_limits():
    imagenet = 1_281_167 * 3 * 224 * 224
    assert imagenet < DATA.value()
    assert CHECKPOINT.value() > 20 * 10**9
    assert size_text(imagenet) == "180 GiB"


def test_every_limit_is_in_the_documentation():
    text = (Path(__file__).parents[2] / "docs" / "limits.md").read_text("utf-8")
    for limit in LIMITS:
        assert limit.variable in text
        assert (size_text(limit.most) if limit.unit == "bytes" else f"{limit.most:,}") in text


def test_the_limits_of_a_run_folder_are_in_the_documentation():
    text = (Path(__file__).parents[2] / "docs" / "limits.md").read_text("utf-8")
    assert f"accounts) | {size_text(MOST_RECORD)}, {size_text(MOST_TEXT)} |" in text
    assert f"features in a run folder | {size_text(MOST_TENSORS)} |" in text


def test_a_limit_without_a_variable_says_where_to_look():
    with pytest.raises(ConfigError, match=r"at most 1 MiB, got 1048577 bytes\. Nothing that is meant"):
        CONFIGURATION.check((1 << 20) + 1, where="c.yaml", error=ConfigError)
    assert "ROBENCH_X" in str(Limit(what="a", most=1, variable="ROBENCH_X").refusal("2", where=""))


# What unpacks to more than it is


def zeros_npz(pack=np.savez_compressed, size=100 << 20):
    stream = io.BytesIO()
    pack(stream, x=np.zeros((size // 16, 1, 4, 4), np.uint8), y=np.zeros(size // 16, np.uint8))
    return stream.getvalue()


@pytest.mark.thorough
def test_an_npz_that_unpacks_to_a_thousandfold_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "d.npz"
    path.write_bytes(zeros_npz())
    assert path.stat().st_size < 1 << 20
    with pytest.raises(InputError, match=r"multiple of their size.*100 MiB.*ROBENCH_MAX_EXPANSION"):
        Npz(path=str(path))("test")
    monkeypatch.setenv("ROBENCH_MAX_EXPANSION", "2000")
    assert len(Npz(path=str(path))("test")) == (100 << 20) // 16


def test_an_npz_says_what_it_unpacks_to_and_that_is_limited(tmp_path, monkeypatch):
    path = tmp_path / "d.npz"
    path.write_bytes(zeros_npz(np.savez, 1 << 20))
    monkeypatch.setenv("ROBENCH_MAX_DATA_BYTES", str((1 << 20) + (1 << 17)))
    assert len(Npz(path=str(path))("test")) == 1 << 16
    monkeypatch.setenv("ROBENCH_MAX_DATA_BYTES", str(1 << 20))
    with pytest.raises(InputError, match="ROBENCH_MAX_DATA_BYTES"):
        Npz(path=str(path))("test")


@pytest.mark.parametrize(
    ("header", "words"),
    [
        ("{'descr': '<f4', 'fortran_order': False, 'shape': (999999999999, 1, 4, 4)}", "bytes for the shape"),
        ("{'descr': '<f8', 'fortran_order': True, 'shape': (2, 2, 2, 2)}", "expected 128 bytes"),
        ("{'descr': '|O', 'fortran_order': False, 'shape': (1,)}", "pickled objects"),
        ("{'descr': [('a', '|O')], 'fortran_order': False, 'shape': (1,)}", "pickled objects"),
        ("{'descr': [('a', '<f8', (9999999,))], 'fortran_order': False, 'shape': (1,)}", "array of numbers"),
        ("{'descr': '<U999999999', 'fortran_order': False, 'shape': (1,)}", "plain arrays"),
        ("{'descr': '<f4', 'fortran_order': False, 'shape': (-1, 4)}", "a shape"),
        ("{'descr': '<f4', 'fortran_order': False, 'shape': (1.5,)}", "expected"),
        ("{'descr': '<f4', 'fortran_order': False, 'shape': " + "(" * 500, "plain arrays"),
        ("__import__('os').system('touch touched')", "plain arrays"),
        ("0" * 20_000, "plain arrays"),
    ],
)
def test_headers_of_arrays_are_not_believed(tmp_path, monkeypatch, header, words):
    monkeypatch.chdir(tmp_path)
    with zipfile.ZipFile("d.npz", "w") as archive:
        for name in ("x", "y"):
            head = header.encode() + b"\n"
            archive.writestr(
                f"{name}.npy", b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head + b"1234"
            )
    with pytest.raises(InputError, match=words):
        Npz(path="d.npz")("test")
    assert not Path("touched").exists()


def packed(size, kind=zipfile.ZIP_DEFLATED, **claims):
    """An archive of zeros with a table of contents that says something else of them."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", kind) as archive:
        for name in ("x.npy", "y.npy", "archive/data.pkl"):
            archive.writestr(name, bytes(size))
            for key, value in claims.items():
                setattr(archive.getinfo(name), key, value)
    return stream.getvalue()


@pytest.mark.parametrize("kind", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
@pytest.mark.parametrize("reader", ["npz", "jpeg zip", "checkpoint"])
def test_what_is_unpacked_all_at_once_is_refused(tmp_path, reader, kind):
    (tmp_path / "x").write_bytes(packed(1 << 10, kind, file_size=10))
    with pytest.raises(RobenchError, match="expected a member that is stored or deflated"):
        READERS[reader](tmp_path / "x")


@pytest.mark.thorough
@pytest.mark.parametrize("reader", ["npz", "jpeg zip", "checkpoint"])
def test_more_packed_bytes_than_there_are_move_no_limit(tmp_path, reader):
    (tmp_path / "x").write_bytes(packed(100 << 20, compress_size=1 << 20))
    with pytest.raises(RobenchError, match="packed bytes, as there are"):
        READERS[reader](tmp_path / "x")


@pytest.mark.thorough
def test_no_more_is_unpacked_than_the_table_of_contents_says():
    stream = io.BytesIO(packed(100 << 20, file_size=1000))
    tracemalloc.start()
    try:
        with open_archive(stream, where="x") as archive, pytest.raises(zipfile.BadZipFile):
            read_member(archive, archive.getinfo("x.npy"), where="x")
        assert tracemalloc.get_traced_memory()[1] < 20 << 20
    finally:
        tracemalloc.stop()


def test_a_member_is_read_whole():
    stream, content = io.BytesIO(), random.Random(0).randbytes(3 << 20)
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x", content)
    with open_archive(stream, where="x") as archive:
        assert read_member(archive, archive.getinfo("x"), where="x") == content


def table_of_contents(entries, name=b"x"):
    """An archive with nothing in it but a table of contents that names the same member many times."""
    entry = struct.pack(
        "<IHHHHHHIIIHHHHHII", 0x02014B50, 20, 20, 0, 0, 0, 0, 0, 0, 0, len(name), 0, 0, 0, 0, 0, 0
    )
    table = (entry + name) * entries
    return table + struct.pack(
        "<IHHHHIIH", 0x06054B50, 0, 0, entries & 0xFFFF, entries & 0xFFFF, len(table), 0, 0
    )


@pytest.mark.parametrize("reader", ["npz", "jpeg zip", "checkpoint"])
def test_a_table_of_contents_without_end_is_refused(tmp_path, reader):
    (tmp_path / "x").write_bytes(table_of_contents(1_500_000))
    with pytest.raises(RobenchError, match="table of contents of an archive of at most 64 MiB"):
        READERS[reader](tmp_path / "x")


def mat(body):
    return b"MATLAB 5.0".ljust(124) + b"\x00\x01IM" + body


@pytest.mark.thorough
def test_a_matlab_file_that_unpacks_to_a_thousandfold_is_refused():
    content = zlib.compress(b"\0" * (200 << 20), 9)
    with pytest.raises(InputError, match="ROBENCH_MAX_EXPANSION"):
        read_mat(mat(struct.pack("<II", 15, len(content)) + content), where="x")


def test_matlab_elements_and_parts_without_end_are_refused():
    with pytest.raises(InputError, match="more than 100000 elements"):
        read_mat(mat(struct.pack("<II", 9, 0) * 200_000), where="x")
    inner = struct.pack("<II", 9, 0) * 200_000
    with pytest.raises(InputError):
        read_mat(mat(struct.pack("<II", 14, len(inner)) + inner), where="x")
    content = b""
    for _ in range(5000):  # an array in an array in an array ...
        content = struct.pack("<II", 14, len(content)) + content
    with pytest.raises(InputError):
        read_mat(mat(content), where="x")


@pytest.mark.parametrize("sides", [(2**31, 2**31, 2**31), (2**32 - 1, 28, 28), (0, 2**32 - 1, 2**32 - 1)])
def test_headers_of_idx_files_are_not_believed(tmp_path, sides):
    (tmp_path / "x").write_bytes(b"\0\0\x08\x03" + struct.pack(">III", *sides) + b"12")
    with pytest.raises(InputError):
        mnist(tmp_path / "x")


# Pictures


def png(width, height):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"IDAT", zlib.compress(b"\0" * 99))
        + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize(
    "size", [(2**31 - 1, 2**31 - 1), (50_000, 50_000), (100_000_001, 1), (10_001, 10_000)]
)
def test_pictures_of_more_pixels_than_the_limit_are_refused_undecoded(size):
    with pytest.raises(InputError, match=r"100000000 pixels.*ROBENCH_MAX_PICTURE_PIXELS"):
        decode(png(*size), where="x")


def test_the_limit_of_pixels_can_be_moved_and_pillows_own_comes_back(monkeypatch):
    before = Image.MAX_IMAGE_PIXELS
    monkeypatch.setenv("ROBENCH_MAX_PICTURE_PIXELS", "19")
    with pytest.raises(InputError, match="at most 19 pixels"):
        decode(PICTURES[0], where="x")
    monkeypatch.setenv("ROBENCH_MAX_PICTURE_PIXELS", "20")
    assert decode(PICTURES[0], where="x").shape == (3, 4, 5)
    assert before == Image.MAX_IMAGE_PIXELS


def test_a_postscript_called_png_is_not_run(tmp_path):
    program = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(touched) (w) file closefile\n"
    with pytest.raises(InputError, match="none of PNG, JPEG"):
        decode(program, where="x")


def test_a_size_to_scale_to_has_a_limit_too():
    with pytest.raises(ConfigError, match="ROBENCH_MAX_PICTURE_PIXELS"):
        ImageFolder(path="x", resize=10**6)


def test_a_picture_file_and_a_folder_have_limits(tmp_path, monkeypatch):
    place = tmp_path / "set" / "test" / "a"
    place.mkdir(parents=True)
    for number in range(4):
        (place / f"{number}.png").write_bytes(PICTURES[0])
    assert len(ImageFolder(path=str(tmp_path / "set"))("test")) == 4
    monkeypatch.setenv("ROBENCH_MAX_FOLDER_ENTRIES", "3")
    with pytest.raises(InputError, match=r"at most 3 entries.*ROBENCH_MAX_FOLDER_ENTRIES"):
        ImageFolder(path=str(tmp_path / "set"))("test")
    monkeypatch.delenv("ROBENCH_MAX_FOLDER_ENTRIES")
    monkeypatch.setenv("ROBENCH_MAX_DATA_BYTES", "100")  # 60 bytes a picture, once decoded
    with pytest.raises(InputError, match="ROBENCH_MAX_DATA_BYTES"):
        ImageFolder(path=str(tmp_path / "set"))("test")
    monkeypatch.delenv("ROBENCH_MAX_DATA_BYTES")
    sparse(place / "9.png", 2 << 30)
    with pytest.raises(InputError, match="ROBENCH_MAX_PICTURE_BYTES"):
        ImageFolder(path=str(tmp_path / "set"))("test")


# Labels and classes


@pytest.mark.parametrize("label", [10**12, 2**63 - 1, 2**64 - 1, 10**6])
def test_labels_that_are_no_class_are_refused_before_anything_is_made_for_each(label):
    with pytest.raises(InputError, match=r"class indices below 1000000, got \d+ at image 1"):
        image_set(torch.zeros(2, 1, 2, 2), np.array([0, label], dtype=np.uint64))


@pytest.mark.parametrize("classes", [10**12, 1_000_001])
def test_classes_without_end_are_refused(tmp_path, classes):
    (tmp_path / "d.npz").write_bytes(NPZ[0])
    with pytest.raises(InputError, match="1000000 classes"):
        Npz(path=str(tmp_path / "d.npz"), classes=classes)("test")


@pytest.mark.thorough
def test_many_classes_take_time_in_proportion():
    # Ten thousand million steps, if each were looked for among all others: the limit of time would end it.
    names = [str(number) for number in range(100_000)]
    check_classes(names)
    assert labels_of(names, len(names), where="x")["99999"] == 99_999
    assert labels_of(names, names, where="x")["777"] == 777
    rows = balanced_rows(torch.arange(100_000).repeat(2), 100_000, 150_000, seed=0)
    counts = torch.bincount(rows % 100_000)
    assert counts.tolist() == [2] * 50_000 + [1] * 50_000


# Pickles and checkpoints


def nested_key(levels):
    """A pickle of a few bytes a level, whose key has 2 ** levels parts."""
    steps = [b"h" + bytes([n]) * 1 + b"h" + bytes([n]) + b"\x86q" + bytes([n + 1]) for n in range(1, levels)]
    return b"\x80\x02}K\x01\x85q\x01" + b"".join(steps) + b"K\x01s."


def copies(times):
    """A pickle that makes a set of the same long list again and again."""
    items = b"".join(b"M" + struct.pack("<H", n) for n in range(50_000))
    return b"\x80\x02](" + items + b"eq\x01](" + b"c__builtin__\nset\nh\x01\x85R" * times + b"e."


def in_archive(program):
    stream = io.BytesIO()
    torch.save(net().state_dict(), stream)
    out = io.BytesIO()
    with zipfile.ZipFile(stream) as old, zipfile.ZipFile(out, "w") as new:
        for name in old.namelist():
            new.writestr(name, program if name.endswith("data.pkl") else old.read(name))
    return out.getvalue()


def test_a_key_that_takes_years_to_hash_is_refused(tmp_path):
    assert len(nested_key(60)) < 500
    with pytest.raises(InputError, match="ROBENCH_MAX_PICKLE_PARTS"):
        read_batch(nested_key(60), where="x")


HEAD = (
    pickle.dumps(0x1950A86A20F9469CFC6C, protocol=2)
    + pickle.dumps(1001, protocol=2)
    + pickle.dumps({}, protocol=2)
)


@pytest.mark.thorough
@pytest.mark.parametrize("program", [nested_key(60), copies(2000)], ids=["nested key", "copies"])
@pytest.mark.parametrize("wrap", [in_archive, lambda program: HEAD + program], ids=["archive", "old format"])
def test_pickles_made_to_cost_time_or_memory_are_refused(tmp_path, program, wrap):
    (tmp_path / "m.pt").write_bytes(wrap(program))
    with pytest.raises(CheckpointError, match="ROBENCH_MAX_PICKLE_PARTS"):
        loading.load(net(), tmp_path / "m.pt")
    (tmp_path / "state.pt").write_bytes(wrap(program))
    with pytest.raises(CheckpointError, match="ROBENCH_MAX_PICKLE_PARTS"):
        load_state(tmp_path / "state.pt", {})


def test_a_pickle_of_too_many_steps_is_refused(tmp_path, monkeypatch):
    torch.save(net().state_dict(), tmp_path / "m.pt")
    monkeypatch.setenv("ROBENCH_MAX_PICKLE_STEPS", "20")
    with pytest.raises(CheckpointError, match=r"at most 20 steps, got more.*ROBENCH_MAX_PICKLE_STEPS"):
        loading.load(net(), tmp_path / "m.pt")
    with pytest.raises(InputError, match="ROBENCH_MAX_PICKLE_STEPS"):
        read_batch(CIFAR[1], where="x")


@pytest.mark.thorough
def test_a_compressed_checkpoint_that_unpacks_to_a_thousandfold_is_refused(tmp_path):
    torch.save({"weight": torch.zeros(25 << 20), "bias": torch.zeros(2)}, tmp_path / "whole.pt")
    new = zipfile.ZipFile(tmp_path / "m.pt", "w", zipfile.ZIP_DEFLATED)
    with zipfile.ZipFile(tmp_path / "whole.pt") as old, new:
        for name in old.namelist():
            new.writestr(name, old.read(name))
    assert (tmp_path / "m.pt").stat().st_size < 1 << 20
    with pytest.raises(CheckpointError, match="ROBENCH_MAX_EXPANSION"):
        loading.load(net(), tmp_path / "m.pt")


@pytest.mark.parametrize("name", ["weight", "weight_v", "other"])
def test_a_tensor_that_repeats_one_number_without_end_is_refused(tmp_path, name):
    torch.save({name: torch.zeros(1).expand(10**6, 10**6), "bias": torch.zeros(2)}, tmp_path / "m.pt")
    with pytest.raises(CheckpointError, match="ROBENCH_MAX_EXPANSION"):
        loading.load(net(), tmp_path / "m.pt")


def test_tensors_without_end_are_refused(tmp_path, monkeypatch):
    save(nn.Sequential(*(nn.Linear(1, 1) for _ in range(10))), tmp_path / "m.safetensors")
    monkeypatch.setenv("ROBENCH_MAX_TENSORS", "19")
    with pytest.raises(CheckpointError, match=r"at most 19 tensors, got 20 tensors"):
        loading.load(net(), tmp_path / "m.safetensors")


def test_sparse_tensors_are_refused_before_their_indices_are_walked(tmp_path):
    torch.save({"weight": torch.eye(3).to_sparse()}, tmp_path / "m.pt")
    with pytest.raises(CheckpointError, match=r"_rebuild_sparse_tensor.*to_dense"):
        loading.load(net(), tmp_path / "m.pt")


@pytest.mark.thorough
def test_lists_of_lists_without_end_are_refused(tmp_path):
    lists = [list(range(2000)) for _ in range(100)]
    for _ in range(3):
        lists = [lists] * 50
    torch.save({"a": lists, **net().state_dict()}, tmp_path / "m.pt")
    with pytest.raises(CheckpointError, match="without end"):
        loading.load(net(), tmp_path / "m.pt")


@pytest.mark.parametrize("behind", [b"x", b"x" * 100])
def test_an_archive_that_two_readers_could_read_in_two_ways_is_refused(tmp_path, behind):
    torch.save(net().state_dict(), tmp_path / "m.pt")
    whole = (tmp_path / "m.pt").read_bytes()
    for data in (whole + behind, whole[:-2] + struct.pack("<H", len(behind)) + behind):
        (tmp_path / "m.pt").write_bytes(data)
        with pytest.raises(CheckpointError):
            loading.load(net(), tmp_path / "m.pt")


@pytest.mark.parametrize("length", [10**9, 2**63, 2**64 - 1])
def test_headers_of_safetensors_are_not_believed(tmp_path, length):
    (tmp_path / "m.safetensors").write_bytes(struct.pack("<Q", length) + b'{"a":')
    with pytest.raises(CheckpointError):
        loading.load(net(), tmp_path / "m.safetensors")


def test_a_hash_or_a_card_without_end_is_not_read(tmp_path):
    path = tmp_path / "m.safetensors"
    save(net(), path)
    sparse(card_path(path), 1 << 40)
    assert described(path) == ""
    sparse(sidecar_path(path), 1 << 40)
    with pytest.raises(CheckpointError, match="at most 1 MiB"):
        loading.load(net(), path)


# Configurations


NINE = "a: &b0 [x]\n" + "".join(f"b{n}: &b{n} [{', '.join([f'*b{n - 1}'] * 9)}]\n" for n in range(1, 9))


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("text", "words"),
    [
        (NINE, "values"),
        ("a: " + "[" * 60 + "]" * 60, "levels of nesting"),
        ("a: " + "[" * 400_000, "levels of nesting"),
        ("- x\n" * 200_000, "at most 100000 values"),
        ("a: 0x" + "f" * 5000, "number of reasonable length"),
        ("a: " + "9" * 5000, "number of reasonable length"),
    ],
)  # fmt: skip
def test_configurations_made_to_cost_time_are_refused(tmp_path, text, words):
    path = tmp_path / "c.yaml"
    path.write_text(text)
    answer = CliRunner().invoke(app, ["check", str(path)])
    assert answer.exit_code == 2
    assert words in " ".join(answer.output.split())


def test_a_configuration_of_two_megabytes_is_refused(tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text("# \n" * 700_000)
    answer = CliRunner().invoke(app, ["run", str(path)])
    assert answer.exit_code == 2
    assert "at most 1 MiB" in " ".join(answer.output.split())


# Memory


@pytest.mark.thorough
@needs_posix
def test_what_is_refused_was_not_held_in_memory(tmp_path):
    """A bomb of 400 MiB is answered without as much as 100 MiB more."""
    (tmp_path / "d.npz").write_bytes(zeros_npz(size=400 << 20))
    code = (
        "import resource, torch, sys\n"
        "from model_zoo.datasets import Npz\n"
        "import numpy, robench.data.images\n"
        "from robench.errors import InputError\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "try:\n    Npz(path=sys.argv[1])('test')\n"
        "except InputError as error:\n    assert 'ROBENCH_MAX_EXPANSION' in str(error)\n"
        "else:\n    raise AssertionError('accepted')\n"
        "assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100 << 10\n"
    )
    subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "d.npz")], check=True, cwd=Path(__file__).parents[2]
    )


def test_random_bytes_are_refused_by_every_reader(tmp_path):
    draw = random.Random(0)
    for number, reader in enumerate(READERS):
        place = tmp_path / str(number)
        place.mkdir()
        (place / "x").write_bytes(draw.randbytes(1000))
        if reader != "python file":
            with pytest.raises(RobenchError):
                READERS[reader](place / "x")
