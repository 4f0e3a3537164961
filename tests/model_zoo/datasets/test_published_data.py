import pickle
import struct

import numpy as np
import pytest
import scipy.io
import torch
import torchvision.datasets
import torchvision.datasets.utils

from model_zoo.datasets import CIFAR10, CIFAR100, SVHN, FashionMNIST
from model_zoo.datasets.cifar_pickle import read_batch
from model_zoo.datasets.matlab import read_mat
from robench.errors import InputError

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (4, 3072), dtype=np.uint8)


@pytest.fixture(autouse=True)
def _offline(monkeypatch):
    def refuse(*_args, **_kwargs):
        raise AssertionError("a test touched the network")

    monkeypatch.setattr("socket.socket.connect", refuse)


@pytest.mark.parametrize("recipe", [CIFAR10(), CIFAR100(), SVHN(), FashionMNIST()])
def test_another_split_and_absent_files_are_refused(tmp_path, recipe):
    with pytest.raises(InputError, match="'train' or 'test'"):
        recipe("extra", root=tmp_path, download=False)
    with pytest.raises(InputError, match=r"--data-root DIR.*--download"):
        recipe("test", root=tmp_path, download=False)


def idx(array):
    head = struct.pack(">BBBB", 0, 0, 8, array.ndim) + struct.pack(f">{array.ndim}I", *array.shape)
    return head + array.astype(np.uint8).tobytes()


def test_fashion_mnist(tmp_path):
    folder = tmp_path / "FashionMNIST" / "raw"
    folder.mkdir(parents=True)
    pixels = RNG.integers(0, 256, (3, 28, 28))
    (folder / "train-images-idx3-ubyte").write_bytes(idx(pixels))
    (folder / "train-labels-idx1-ubyte").write_bytes(idx(np.array([9, 0, 3])))
    data = FashionMNIST()("train", root=tmp_path)
    assert data.name == "Fashion-MNIST"
    assert data.classes[9] == "Ankle boot"
    assert data.classes == tuple(torchvision.datasets.FashionMNIST.classes)
    assert data.images[:, 0].tolist() == pixels.tolist()
    assert data.labels.tolist() == [9, 0, 3]
    (folder / "train-images-idx3-ubyte").write_bytes(idx(pixels)[:-1])
    with pytest.raises(InputError, match="truncated"):
        FashionMNIST()("train", root=tmp_path)


def python2(batch):
    """A batch as Python 2 and its NumPy wrote the published files, opcode by opcode."""

    def text(value):
        return b"U" + bytes([len(value)]) + value

    def array(value):
        raw = value.tobytes()
        return (
            b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
            b"(K\x01" + b"K" + bytes([len(value)]) + b"M" + struct.pack("<H", value.shape[1]) + b"\x86"
            b"cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
            b"\x89T" + struct.pack("<I", len(raw)) + raw + b"tb"
        )

    out = b"\x80\x02}("
    for key, value in batch.items():
        out += text(key.encode())
        if isinstance(value, np.ndarray):
            out += array(value)
        elif isinstance(value, list):
            items = (b"K" + bytes([v]) if isinstance(v, int) else text(v.encode()) for v in value)
            out += b"](" + b"".join(items) + b"e"
        else:
            out += text(value.encode())
    return out + b"u."


def python3(batch, protocol=4):
    return pickle.dumps(batch, protocol=protocol)


WRITERS = [
    python2,
    python3,
    lambda b: python3(b, 2),
    lambda b: python3({k.encode(): v for k, v in b.items()}),
]
NAMES = {CIFAR10: ("airplane", "automobile", "bird"), CIFAR100: ("apple", "aquarium_fish", "baby", "bear")}


def write(root, recipe, writer=python3, batch=None, names=None):
    folder = root / recipe.folder
    folder.mkdir(parents=True, exist_ok=True)
    (folder / recipe.meta[0]).write_bytes(writer({recipe.meta[1]: list(names or NAMES[recipe])}))
    for split, files in recipe.files.items():
        for number, name in enumerate(files):
            labels = [number % 3, 0, 1, 2] if split == "train" else [2, 2, 1, 0]
            content = {"batch_label": "a batch", recipe.labels: labels, "data": IMAGES, **(batch or {})}
            (folder / name).write_bytes(writer(content))
    return folder


@pytest.mark.filterwarnings("ignore")  # numpy.core, and dtype(align=0)
def test_the_hand_made_pickle_is_what_python_2_wrote():
    content = pickle.loads(python2({"data": IMAGES, "labels": [1, 2], "batch_label": "x"}), encoding="latin1")
    np.testing.assert_array_equal(content["data"], IMAGES)
    assert content["labels"] == [1, 2]


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize("recipe", [CIFAR10, CIFAR100])
def test_cifar(tmp_path, recipe, writer):
    write(tmp_path, recipe, writer)
    train, test = (recipe()(split, root=tmp_path) for split in ("train", "test"))
    assert test.shape == (3, 32, 32)
    assert test.name == recipe.info.title
    assert torch.equal(test.images, torch.from_numpy(IMAGES).view(-1, 3, 32, 32))
    assert test.labels.tolist() == [2, 2, 1, 0]
    assert train.labels[::4].tolist() == [0, 1, 2, 0, 1][: len(train) // 4]
    assert len(train) == 4 * len(recipe.files["train"])
    assert test.classes == NAMES[recipe]


def test_fortran_order(tmp_path):
    write(tmp_path, CIFAR10, batch={"data": np.asfortranarray(IMAGES)})
    assert torch.equal(CIFAR10()("test", root=tmp_path).images.view(4, -1), torch.from_numpy(IMAGES))


class Bomb:
    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return (open, (self.path, "w"))


def hostile(trace):
    code = f"open({str(trace)!r}, 'w')".encode()
    return {
        "reduce": pickle.dumps({"data": IMAGES, "labels": [0] * 4, "x": Bomb(trace)}),
        "protocol 0": pickle.dumps(Bomb(trace), protocol=0),
        "eval": b"cbuiltins\neval\n(V" + code + b"\ntR.",
        "python 2 eval": b"c__builtin__\neval\n(U" + bytes([len(code)]) + code + b"tR.",
        "instance": b"(V" + code + b"\nibuiltins\neval\n.",
        "numpy's own eval": b"cnumpy.testing\nrundocs\n(tR.",
        "attribute of an allowed module": b"cnumpy\nload\n(V/etc/passwd\ntR.",
        "dotted name": b"\x80\x04\x8c\x05numpy\x8c\x0dndarray.tofile\x93.",
        "codec": b"c_codecs\nencode\n(Vabc\nVrot13\ntR.",
        "extension": b"\x80\x02\x82\x01.",
        "persistent": b"Pname\n.",
        "memory for the memo": b"\x80\x02]r\xff\xff\xff\x7f.",
        "memory for bytes": b"\x80\x05\x96" + struct.pack("<Q", 1 << 40) + b".",
    }


@pytest.mark.parametrize("kind", hostile("x"))
@pytest.mark.parametrize("place", ["test_batch", "batches.meta"])
def test_hostile_cifar_pickles_run_nothing(tmp_path, kind, place):
    trace = tmp_path / "touched"
    folder = write(tmp_path, CIFAR10)
    (folder / place).write_bytes(hostile(trace)[kind])
    with pytest.raises(InputError) as error:
        CIFAR10()("test", root=tmp_path)
    assert not trace.exists()
    if kind in ("reduce", "eval"):
        assert "it was not run" in str(error.value)


def test_stand_ins_are_inert(tmp_path):
    # BUILD may set attributes on what the reader makes: on our stand-ins, where they mean nothing.
    content = read_batch(b"}(Vx\ncnumpy\ndtype\n(tR}(V__class__\nI1\nubu.", where="x")
    assert type(content["x"]).__name__ == "_Type"


@pytest.mark.parametrize(
    "batch",
    [
        {"data": IMAGES.astype(np.int16)},
        {"data": IMAGES[:, :100]},
        {"data": IMAGES[0]},
        {"data": IMAGES[:3]},
        {"data": [1, 2]},
        {"data": np.array([None, 1], dtype=object)},
        {"labels": [0, 1, 2]},
        {"labels": [0, 1, 2, 3]},
        {"labels": [0, 1, 2, -1]},
        {"labels": [0, 1, 2, True]},
        {"labels": "0122"},
        {"labels": None},
    ],
)
def test_unusable_cifar_batches_are_refused(tmp_path, batch):
    write(tmp_path, CIFAR10, batch=batch)
    with pytest.raises(InputError):
        CIFAR10()("test", root=tmp_path)


def test_damaged_cifar_is_refused_and_nothing_else_is_raised(tmp_path):
    folder = write(tmp_path, CIFAR10, python2)
    whole = (folder / "test_batch").read_bytes()
    for share in (0, 0.001, 0.02, 0.5, 0.999):
        (folder / "test_batch").write_bytes(whole[: int(len(whole) * share)])
        with pytest.raises(InputError):
            CIFAR10()("test", root=tmp_path)
    ends, refusals = [*range(0, 120), *range(len(whole) - 60, len(whole))], 0
    for place in ends:
        data = whole[:place] + bytes([whole[place] ^ 0x15]) + whole[place + 1 :]
        try:
            read_batch(data, where="x")
        except InputError:
            refusals += 1
    assert refusals > len(ends) / 3  # a byte of an image cannot be seen without a hash
    (folder / "batches.meta").unlink()
    with pytest.raises(InputError, match=r"no batches\.meta"):
        CIFAR10()("test", root=tmp_path)


def test_cifar_download_is_checked_against_the_published_md5(tmp_path, monkeypatch):
    def altered(url, root, *, filename, md5):
        assert url.startswith("https://")
        assert (filename, md5) == ("cifar-10-python.tar.gz", "c58f30108f718f92721af3b95e74349a")
        write(tmp_path, CIFAR10)

    monkeypatch.setattr(torchvision.datasets.utils, "download_and_extract_archive", altered)
    with pytest.raises(InputError, match=r"altered"):
        CIFAR10()("test", root=tmp_path, download=True)
    assert not (tmp_path / CIFAR10.folder / "data_batch_1").exists()

    def fails(*_args, **_kwargs):
        raise RuntimeError("File not found or corrupted.")

    monkeypatch.setattr(torchvision.datasets.utils, "download_and_extract_archive", fails)
    with pytest.raises(InputError, match="corrupted"):
        CIFAR100()("test", root=tmp_path, download=True)


def test_fashion_mnist_download_that_fails(tmp_path, monkeypatch):
    def fails(**_kwargs):
        raise RuntimeError("Error downloading train-images")

    monkeypatch.setattr(torchvision.datasets, "FashionMNIST", fails)
    with pytest.raises(InputError, match="Error downloading"):
        FashionMNIST()("test", root=tmp_path, download=True)


DIGITS = RNG.integers(0, 256, (32, 32, 3, 5), dtype=np.uint8)


def mat(root, packing=True, **arrays):
    content = {"X": DIGITS, "y": np.array([[1], [10], [9], [2], [10]], dtype=np.uint8), **arrays}
    scipy.io.savemat(root / "test_32x32.mat", content, do_compression=packing)
    return root / "test_32x32.mat"


def test_svhn(tmp_path):
    mat(tmp_path)
    data = SVHN()("test", root=tmp_path)
    assert data.labels.tolist() == [1, 0, 9, 2, 0]
    assert data.images[3, 2, 4, 7] == DIGITS[4, 7, 2, 3]
    assert data.shape == (3, 32, 32)
    assert len(data.classes) == 10
    mat(tmp_path, X=DIGITS[..., 0], y=np.array([[10]], dtype=np.uint8))
    assert SVHN()("test", root=tmp_path).labels.tolist() == [0]


@pytest.mark.parametrize(
    "arrays",
    [
        {"X": DIGITS.astype(float)},
        {"X": DIGITS[..., :4]},
        {"X": DIGITS[:16]},
        {"X": "text"},
        {"y": np.array([[1], [11], [9], [2], [10]])},
        {"y": np.eye(5, dtype=np.uint8)},
        {"y": np.ones((5, 1))},
        {"y": np.array([["1"]] * 5, dtype=object)},
        {"X": np.zeros((32, 32, 3, 0), np.uint8), "y": np.zeros((0, 1), np.uint8)},
    ],
)
def test_unusable_svhn_is_refused(tmp_path, arrays):
    mat(tmp_path, **arrays)
    with pytest.raises(InputError):
        SVHN()("test", root=tmp_path)


@pytest.mark.parametrize("compressed", [True, False])
def test_damaged_svhn_is_refused_and_nothing_else_happens(tmp_path, compressed):
    path = mat(tmp_path, compressed)
    whole = path.read_bytes()
    hdf5 = b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM" + b"\x89HDF\r\n\x1a\n"
    for data in (b"", whole[:100], whole[:128], whole[:300], whole[:-9], hdf5, b"junk" * 100):
        path.write_bytes(data)
        with pytest.raises(InputError):
            SVHN()("test", root=tmp_path)
    rng = np.random.default_rng(0)
    places, refusals = [*range(124, 220), *range(len(whole) - 80, len(whole))], 0
    for _ in range(500):  # scipy.io.loadmat ends the process with a segmentation fault on some of these
        data = bytearray(whole)
        for place in rng.choice(places, 2):
            data[place] = rng.integers(256)
        try:
            read_mat(bytes(data), where="x")
        except InputError:
            refusals += 1
    assert refusals > 250


def test_matlab_reader_agrees_with_scipy(tmp_path):
    arrays = {
        "a": RNG.normal(size=(2, 3)), "b": np.arange(5), "c": np.float32([[1.5]]), "u": np.array([[7]], "u2"),
        "text": "abc", "cell": np.array([1, "x"], dtype=object), "z": np.array([[1j]]),
        "none": np.zeros((0, 2)),
    }  # fmt: skip
    for packing in (True, False):
        scipy.io.savemat(tmp_path / "m.mat", arrays, do_compression=packing)
        values = read_mat((tmp_path / "m.mat").read_bytes(), where="x")
        reference = scipy.io.loadmat(tmp_path / "m.mat")
        assert sorted(values) == ["a", "b", "c", "none", "u"]
        for name, array in values.items():
            np.testing.assert_array_equal(array, reference[name])
            assert array.dtype == reference[name].dtype


def test_svhn_download_is_checked(tmp_path, monkeypatch):
    def altered(url, root, name, md5):
        assert (name, md5) == ("test_32x32.mat", "eb5a983be6a315427106f1b164d9cef3")
        mat(tmp_path)

    monkeypatch.setattr(torchvision.datasets.utils, "download_url", altered)
    with pytest.raises(InputError, match="altered"):
        SVHN()("test", root=tmp_path, download=True)
    assert not (tmp_path / "test_32x32.mat").exists()
