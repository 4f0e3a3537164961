import gzip
import io
import os
import pickle
import socket
import struct
import subprocess
import sys
import zipfile
from pathlib import Path, PurePosixPath

import numpy as np
import pytest
import torch
import torchvision.datasets
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from model_zoo.datasets import CIFAR10JPEG, MNIST, Digits, ImageFolder, Npz
from model_zoo.datasets.files import check_member, data_root
from model_zoo.datasets.pictures import decode
from robench.errors import ConfigError, InputError
from robench.recipe import build

DATA = Path(os.environ.get("ROBENCH_TEST_DATA") or Path(__file__).parents[3].parent / "shared" / "data")
CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
needs_mnist = pytest.mark.skipif(not (DATA / "MNIST").is_dir(), reason="no MNIST")
needs_cifar = pytest.mark.skipif(not (DATA / "cifar10-jpeg.zip").is_file(), reason="no CIFAR-10 JPEG copy")


@pytest.fixture(autouse=True)
def _offline(monkeypatch):
    def refuse(*_args, **_kwargs):
        raise AssertionError("a test touched the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)


def picture(size=(32, 32), color=(10, 20, 30), form="JPEG"):
    stream = io.BytesIO()
    Image.new("RGB", size, color).save(stream, form)
    return stream.getvalue()


def idx(array):
    head = struct.pack(">BBBB", 0, 0, 8, array.ndim) + struct.pack(f">{array.ndim}I", *array.shape)
    return head + array.astype(np.uint8).tobytes()


def mnist_files(root, images, labels):
    folder = root / "MNIST" / "raw"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "t10k-images-idx3-ubyte").write_bytes(images)
    (folder / "t10k-labels-idx1-ubyte").write_bytes(labels)


def test_recipes_and_their_options_need_no_torch():
    code = "import sys, model_zoo.datasets, model_zoo.catalog, model_zoo.heads.wnll, model_zoo.heads.linear\n"
    code += "import model_zoo.builder\nassert 'torch' not in sys.modules, 'torch'"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[3])


def test_digits_are_split_the_same_way_always():
    train, test = Digits()("train"), Digits()("test", root=None, download=False)
    assert (len(train), len(test)) == (1352, 445)
    assert train.shape == (1, 8, 8)
    assert float(train.images.max()) == 1.0
    assert bool(((train.images * 16) % 1 == 0).all())
    for c in range(10):
        share = int((test.labels == c).sum()) / int((torch.cat([train.labels, test.labels]) == c).sum())
        assert abs(share - 0.25) < 0.01
    both = torch.cat([train.images, test.images]).flatten(1)
    assert len(both.unique(dim=0)) == len(both)


@pytest.mark.parametrize("recipe", [Digits(), MNIST(), CIFAR10JPEG(), ImageFolder(path="x"), Npz(path="x")])
def test_another_split_is_refused(recipe, tmp_path):
    with pytest.raises(InputError, match="'train' or 'test'"):
        recipe("validation", root=tmp_path, download=False)


@pytest.mark.data
@needs_mnist
def test_real_mnist():
    train, test = (MNIST()(split, root=DATA, download=False) for split in ("train", "test"))
    assert (len(train), len(test)) == (60_000, 10_000)
    assert train.labels[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    assert test.labels[:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]
    reference = torchvision.datasets.MNIST(root=DATA, train=False)
    assert torch.equal(test.images[:, 0], reference.data)
    assert torch.equal(test.labels, reference.targets)


def test_tiny_mnist(tmp_path):
    images = np.arange(2 * 4 * 3).reshape(2, 4, 3)
    mnist_files(tmp_path, idx(images), idx(np.array([9, 0])))
    data = MNIST()("test", root=tmp_path, download=False)
    assert data.shape == (1, 4, 3)
    assert data.images[:, 0].tolist() == images.tolist()
    assert data.labels.tolist() == [9, 0]
    assert len(data.classes) == 10


GOOD = idx(np.zeros((2, 3, 3)))


@pytest.mark.parametrize(
    "images",
    [
        b"",
        GOOD[:3],
        GOOD[:10],
        GOOD[:-1],
        GOOD + b"0",
        gzip.compress(GOOD, mtime=0),
        struct.pack(">BBBB3I", 0, 0, 8, 3, 2**31, 2**31, 2**31),
        b"\0\0\x0d\x03" + GOOD[4:],
        idx(np.zeros((3, 3, 3))),
        idx(np.zeros(2)),
        idx(np.zeros((0, 3, 3))),
    ],
)
def test_damaged_mnist_is_refused(tmp_path, images):
    mnist_files(tmp_path, images, idx(np.array([1, 2])))
    with pytest.raises(InputError):
        MNIST()("test", root=tmp_path, download=False)


def test_absent_mnist_names_both_remedies(tmp_path):
    with pytest.raises(InputError, match=r"--data-root DIR.*--download"):
        MNIST()("test", root=tmp_path, download=False)


def test_failed_and_altered_downloads(tmp_path, monkeypatch):
    def fails(**_kwargs):
        raise RuntimeError("Error downloading train-images")

    monkeypatch.setattr(torchvision.datasets, "MNIST", fails)
    with pytest.raises(InputError, match="Error downloading"):
        MNIST()("test", root=tmp_path, download=True)

    def altered(**_kwargs):
        mnist_files(tmp_path, GOOD, idx(np.array([1, 2])))

    monkeypatch.setattr(torchvision.datasets, "MNIST", altered)
    with pytest.raises(InputError, match="altered"):
        MNIST()("test", root=tmp_path, download=True)
    assert not (tmp_path / "MNIST" / "raw" / "t10k-images-idx3-ubyte").exists()


def test_default_root(monkeypatch, tmp_path):
    monkeypatch.setenv("ROBENCH_DATA", str(tmp_path))
    assert data_root(None) == tmp_path
    monkeypatch.delenv("ROBENCH_DATA")
    assert data_root(None) == Path.home() / ".cache" / "robench"


def cifar_zip(root, members):
    with zipfile.ZipFile(root / "cifar10-jpeg.zip", "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)


def cifar_members(each=3):
    return {
        f"{split}/{name}/{i:04d}.jpg": picture(color=(label * 20, i * 40, 0))
        for split in ("train", "test")
        for label, name in enumerate(CLASSES)
        for i in range(each)
    }


def test_cifar_zip_is_interleaved_by_class(tmp_path):
    cifar_zip(tmp_path, cifar_members())
    data = CIFAR10JPEG()("test", root=tmp_path, download=False)
    assert data.name == "CIFAR-10 (JPEG copy)"
    assert data.classes == CLASSES
    assert data.shape == (3, 32, 32)
    for block in data.labels.split(10):
        assert sorted(block.tolist()) == list(range(10))
    assert data.labels[:10].tolist() != data.labels[10:20].tolist()
    red = data.images[:, 0].float().mean(dim=(1, 2)) / 20
    assert torch.equal(red.round().long(), data.labels)
    assert CIFAR10JPEG()("test", root=tmp_path).digest() == data.digest()


@pytest.mark.thorough
@pytest.mark.data
@needs_cifar
def test_real_cifar_copy():
    data = CIFAR10JPEG()("test", root=DATA, download=False)
    assert len(data) == 10_000
    assert torch.bincount(data.labels).tolist() == [1000] * 10
    assert data.labels[:20].tolist() == [4, 0, 6, 9, 7, 2, 1, 5, 8, 3, 3, 0, 1, 7, 8, 9, 6, 5, 2, 4]


@pytest.mark.parametrize(
    "extra",
    [
        {"../evil.jpg": b"x"},
        {"/etc/evil.jpg": b"x"},
        {"test/../../evil.jpg": b"x"},
        {"C:\\evil.jpg": b"x"},
        {"test/cat/sub/1.jpg": b"x"},
        {"test/unicorn/1.jpg": b"x"},
        {"test/cat/9.jpg": b"not a picture"},
        {"test/cat/9.jpg": picture()[:200]},
        {"test/cat/9.jpg": picture(size=(16, 16))},
        {"test/cat/9.jpg": b"\0" * (1 << 21)},
    ],
)
def test_hostile_or_broken_members_are_refused(tmp_path, extra):
    cifar_zip(tmp_path, cifar_members(1) | extra)
    with pytest.raises(InputError):
        CIFAR10JPEG()("test", root=tmp_path, download=False)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["cifar10-jpeg.zip"]


def test_broken_and_absent_zips_are_refused(tmp_path):
    with pytest.raises(InputError, match="--data-root"):
        CIFAR10JPEG()("test", root=tmp_path, download=True)
    cifar_zip(tmp_path, cifar_members(1))
    path = tmp_path / "cifar10-jpeg.zip"
    data = path.read_bytes()
    place = data.rindex(b"test/truck/0000.jpg", 0, data.index(b"PK\x01\x02")) + 60
    for content in (data[:0], data[:100], data[:-1], data[:place] + b"\xff\0\xff" + data[place + 3 :]):
        path.write_bytes(content)
        with pytest.raises(InputError):
            CIFAR10JPEG()("test", root=tmp_path)
    cifar_zip(tmp_path, {"test/cat/1.jpg": picture()})
    with pytest.raises(InputError, match="airplane"):
        CIFAR10JPEG()("test", root=tmp_path)


def folder(root, sizes=((6, 4), (6, 4))):
    for split, name, size in (("train", "b", sizes[0]), ("test", "b", sizes[0]), ("test", "c", sizes[1])):
        place = root / split / name
        place.mkdir(parents=True)
        (place / "1.png").write_bytes(picture(size=size, form="PNG"))
    (root / "train" / "a").mkdir()
    (root / "test" / "b" / "notes.txt").write_text("x")


def test_image_folder(tmp_path):
    folder(tmp_path / "mine")
    data = ImageFolder(path="mine")("test", root=tmp_path)
    assert data.classes == ("a", "b", "c")
    assert data.labels.tolist() == [1, 2]
    assert data.shape == (3, 4, 6)
    assert data.images[0, :, 0, 0].tolist() == [10, 20, 30]
    gray = ImageFolder(path=str(tmp_path / "mine"), gray=True, resize=5)("test", root=None)
    assert gray.shape == (1, 5, 5)


def test_class_folders_alone_are_the_test_split(tmp_path):
    folder(tmp_path / "mine")
    alone = ImageFolder(path="mine/test")("test", root=tmp_path)
    assert alone.classes == ("b", "c")
    assert alone.labels.tolist() == [0, 1]
    with pytest.raises(InputError, match=r"mine/test/train, got none. Lay pictures out as"):
        ImageFolder(path="mine/test")("train", root=tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"a folder for each class in .*empty, got none"):
        ImageFolder(path="empty")("test", root=tmp_path)


def test_image_folder_refusals(tmp_path):
    folder(tmp_path / "mine", sizes=((6, 4), (4, 6)))
    with pytest.raises(InputError, match="resize"):
        ImageFolder(path="mine")("test", root=tmp_path)
    for bad in ("../mine", "", "a\0b"):
        with pytest.raises(InputError):
            ImageFolder(path=bad)("test", root=tmp_path / "mine")
    with pytest.raises(InputError, match="a folder"):
        ImageFolder(path="none")("test", root=tmp_path)
    with pytest.raises(ConfigError, match="resize"):
        ImageFolder(resize=0)


def test_npz_names_and_layouts(tmp_path):
    x = np.random.default_rng(0).integers(0, 256, (4, 5, 6), dtype=np.uint8)
    y = np.array([0, 1, 2, 1], dtype=">i2")
    np.savez(tmp_path / "a.npz", x=x, y=y)
    data = Npz(path="a.npz")("test", root=tmp_path)
    assert data.shape == (1, 5, 6)
    assert data.labels.tolist() == [0, 1, 2, 1]
    color = np.stack([x] * 3, axis=-1).astype(">f4") / 255
    np.savez(tmp_path / "b.npz", x_train=color, y_train=y[:, None], x_test=color[:2], y_test=y[:2])
    data = Npz(path="b.npz")("train", root=tmp_path)
    assert data.shape == (3, 5, 6)
    np.testing.assert_allclose(data.images[:, 1].numpy(), x / 255, rtol=1e-6)
    assert len(Npz(path="b.npz")("test", root=tmp_path)) == 2


def test_npz_does_not_serve_test_images_as_training_images(tmp_path):
    x, y = np.zeros((2, 1, 4, 4), np.uint8), np.array([0, 1])
    np.savez(tmp_path / "a.npz", images=x, labels=y)
    with pytest.raises(InputError, match="test split only"):
        Npz(path="a.npz")("train", root=tmp_path)
    assert Npz(path="a.npz", holds="train")("train", root=tmp_path).split == "train"
    np.savez(tmp_path / "a-train.npz", images=x, labels=y)
    assert len(Npz(path="a-{split}.npz")("train", root=tmp_path)) == 2


def test_hostile_npz_is_not_unpickled(tmp_path):
    trace = tmp_path / "touched"

    class Bomb:
        def __reduce__(self):
            return (open, (str(trace), "w"))

    np.savez(tmp_path / "a.npz", x=np.array([Bomb()], dtype=object), y=np.array([0]))
    trace.unlink(missing_ok=True)
    with pytest.raises(InputError, match="pickled objects"):
        Npz(path="a.npz")("test", root=tmp_path)
    (tmp_path / "b.npz").write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(InputError):
        Npz(path="b.npz")("test", root=tmp_path)
    assert not trace.exists()


def test_unusable_npz_files_are_refused(tmp_path):
    x, y = np.zeros((2, 1, 4, 4), np.uint8), np.array([0, 1])
    path = tmp_path / "a.npz"
    cases = [
        {"z": x},
        {"x": x},
        {"x": x.astype("U3"), "y": y},
        {"x": x, "y": y.astype(float)},
        {"x": x, "y": np.eye(2, dtype=int)},
        {"x": x.astype(np.int16), "y": y},
        {"x": np.full(x.shape, np.nan), "y": y},
    ]
    for arrays in cases:
        np.savez(path, **arrays)
        with pytest.raises(InputError):
            Npz(path="a.npz")("test", root=tmp_path)
    np.savez_compressed(path, x=x, y=y)
    data = path.read_bytes()
    for content in (b"", data[:50], data[:-30], data[:60] + b"\xff" * 8 + data[68:]):
        path.write_bytes(content)
        with pytest.raises(InputError):
            Npz(path="a.npz")("test", root=tmp_path)
    np.save(tmp_path / "b.npy", x)
    with pytest.raises(InputError, match="single array"):
        Npz(path="b.npy")("test", root=tmp_path)
    for bad in ("none.npz", "../a.npz", ""):
        with pytest.raises(InputError):
            Npz(path=bad)("test", root=tmp_path / "sub")


def numbered(root, names, split="test"):
    """Folders whose pictures are as red as their number."""
    for name in names:
        place = root / split / name
        place.mkdir(parents=True)
        red = int("".join(s for s in name if s in "0123456789") or 0) % 256
        (place / "1.png").write_bytes(picture(color=(red, 0, 0), form="PNG"))


def reds(data):
    return data.images[:, 0, 0, 0].tolist()


@pytest.mark.parametrize("width", [1, 2, 5])
def test_folders_that_are_numbers_are_in_the_order_of_numbers(tmp_path, caplog, width):
    numbered(tmp_path, [str(k).zfill(width) for k in range(12)])
    data = ImageFolder(path=str(tmp_path))("test")
    assert reds(data) == data.labels.tolist() == list(range(12))
    assert [int(name) for name in data.classes] == list(range(12))
    assert ("torchvision sorts them as text" in caplog.text) == (width == 1)


def test_numbers_of_mixed_width_that_text_happens_to_sort_need_no_word(tmp_path, caplog):
    numbered(tmp_path, ["0", "01", "2", "3"])
    assert reds(ImageFolder(path=str(tmp_path))("test")) == [0, 1, 2, 3]
    assert not caplog.records


def test_numbers_that_are_not_all_there_are_spoken_of(tmp_path, caplog):
    numbered(tmp_path, ["1", "2", "10"])
    data = ImageFolder(path=str(tmp_path))("test")
    assert (reds(data), data.labels.tolist()) == ([1, 2, 10], [0, 1, 2])
    assert "1 has label 0, its place" in caplog.text
    caplog.clear()
    data = ImageFolder(path=str(tmp_path), classes=12)("test")
    assert (reds(data), data.labels.tolist(), len(data.classes)) == ([1, 2, 10], [1, 2, 10], 12)
    assert not caplog.records
    with pytest.raises(InputError, match="folders from 0 to 9, got '10'"):
        ImageFolder(path=str(tmp_path), classes=10)("test")


def test_two_folders_of_one_number_are_refused(tmp_path):
    numbered(tmp_path, ["1", "0"])
    numbered(tmp_path, ["01"], split="train")
    for classes in (None, 2):
        with pytest.raises(InputError, match=r"'0?1' and"):
            ImageFolder(path=str(tmp_path), classes=classes)("test")


@pytest.mark.parametrize(
    ("names", "order", "said"),
    [
        (["c1", "c2", "c10"], ["c1", "c10", "c2"], "label 1 is 'c10'"),
        (["2", "10", "cat"], ["10", "2", "cat"], "label 0 is '10'"),
        (["-1", "-2", "3"], ["-1", "-2", "3"], ""),
        (["n01", "n02"], ["n01", "n02"], ""),
        (["\u0663", "\u0661"], ["\u0661", "\u0663"], ""),
        (["\u00b2", "7"], ["7", "\u00b2"], ""),
        (["9" * 200, "1" * 201], ["9" * 200, "1" * 201], "order of numbers"),
    ],
)
def test_the_order_of_other_names(tmp_path, caplog, names, order, said):
    numbered(tmp_path, names)
    (tmp_path / "test" / ".ipynb_checkpoints").mkdir()
    (tmp_path / "test" / names[0] / "._1.png").write_bytes(b"not a picture")
    assert list(ImageFolder(path=str(tmp_path))("test").classes) == order
    assert said in caplog.text
    assert bool(said) == bool(caplog.records)


def test_folders_in_the_order_their_names_are_listed_in(tmp_path):
    numbered(tmp_path, ["c1", "c2", "c10"])
    data = ImageFolder(path=str(tmp_path), classes=("c1", "c2", "c3", "c10"))("test")
    assert (reds(data), data.labels.tolist(), len(data.classes)) == ([1, 2, 10], [0, 1, 3], 4)
    with pytest.raises(InputError, match="got 'c10'"):
        ImageFolder(path=str(tmp_path), classes=("c1", "c2"))("test")


@pytest.mark.parametrize("recipe", [ImageFolder, Npz])
@pytest.mark.parametrize("classes", [0, 1, True, -1, [], ["a", "a"], ["1", 1], 1.5, "many", {"a": 1}])
def test_an_option_classes_that_names_none_is_refused(recipe, classes):
    with pytest.raises(ConfigError, match="classes"):
        build(recipe, {"path": "x", "classes": classes}, where="here")


def test_pictures_of_sixteen_bits_are_refused(tmp_path):
    place = tmp_path / "test" / "a"
    place.mkdir(parents=True)
    Image.fromarray(np.full((4, 4), 300, np.uint16)).save(place / "1.png")
    with pytest.raises(InputError, match="8 bits"):
        ImageFolder(path=str(tmp_path), gray=True)("test")


def test_npz_with_more_classes_than_its_labels_show(tmp_path):
    x, y = np.zeros((2, 1, 4, 4), np.uint8), np.array([0, 2])
    np.savez(tmp_path / "a.npz", x=x, y=y)
    plain = Npz(path="a.npz")("test", root=tmp_path)
    more = build(Npz, {"path": "a.npz", "classes": 7}, where="here")("test", root=tmp_path)
    with_names = build(Npz, {"path": "a.npz", "classes": ["cat", "dog", 3]}, where="here")(
        "test", root=tmp_path
    )
    assert [len(data.classes) for data in (plain, more, with_names)] == [3, 7, 3]
    assert with_names.classes == ("cat", "dog", "3")
    assert plain.digest() == more.digest() == with_names.digest()
    with pytest.raises(InputError, match="labels from 0 to 1, got 2 at image 1"):
        Npz(path="a.npz", classes=2)("test", root=tmp_path)


@pytest.mark.parametrize(
    ("x", "y", "said"),
    [
        ("x", "y", False),
        ("x_test", "y_test", False),
        ("images", "labels", True),
        ("X", "y", True),
        ("data", "target", True),
        ("test_images", "test_labels", True),
        ("images_test", "labels_test", True),
    ],
)
def test_npz_says_which_arrays_it_read(tmp_path, caplog, x, y, said):
    np.savez(tmp_path / "a.npz", **{x: np.full((2, 1, 4, 4), 9, np.uint8), y: np.array([0, 1]), "other": 1})
    assert len(Npz(path="a.npz")("test", root=tmp_path)) == 2
    assert (f"read the images from {x!r} and the labels from {y!r}" in caplog.text) == said
    with pytest.raises(InputError):
        Npz(path="a.npz")("train", root=tmp_path)


def test_what_npz_read_before_it_knew_more_names_it_still_reads(tmp_path):
    x, y = np.full((2, 1, 4, 4), 9, np.uint8), np.array([0, 1])
    np.savez(
        tmp_path / "a.npz", images=x, labels=y, test_images=x[:1], test_labels=y[:1], data=x[:1], target=y[:1]
    )
    assert len(Npz(path="a.npz")("test", root=tmp_path)) == 2


def test_a_split_of_another_name_is_no_class(tmp_path):
    (tmp_path / "val" / "cat").mkdir(parents=True)
    Image.new("RGB", (4, 4)).save(tmp_path / "val" / "cat" / "0.png")
    with pytest.raises(InputError, match=r"at least one picture, got none\. Lay pictures out as"):
        ImageFolder(path=str(tmp_path))("test")


@given(st.lists(st.sampled_from(["a", ".", "..", "", "b c", "/"]), max_size=6).map("/".join))
def test_parts_of_an_archive_member_are_those_of_pathlib(name):
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts:
        with pytest.raises(InputError, match="inside the archive"):
            check_member(name, where="x")
    else:
        assert check_member(name, where="x") == path.parts


@pytest.mark.parametrize(("folder", "name"), [("MNIST", "mnist"), ("cifar-10-batches-py", "cifar10")])
def test_a_folder_of_a_known_data_set_is_answered_with_its_name(tmp_path, folder, name):
    (tmp_path / folder / "raw").mkdir(parents=True)
    with pytest.raises(InputError) as error:
        ImageFolder(path=str(tmp_path / folder))("test")
    assert f"For {name} itself: --data {name} --data-root {tmp_path}" in error.value.do


@pytest.mark.parametrize(("mode", "color"), [("RGBA", (10, 20, 30)), ("LA", (10,)), ("P", None)])
def test_transparent_pictures_are_refused_and_opaque_ones_with_alpha_are_not(mode, color):
    def encoded(alpha):
        stream = io.BytesIO()
        if mode == "P":
            picture = Image.new("P", (5, 4))
            picture.putpalette([10, 20, 30] * 256)
            picture.save(stream, "PNG", **({"transparency": 0} if alpha < 255 else {}))
        else:
            Image.new(mode, (5, 4), (*color, alpha)).save(stream, "PNG")
        return stream.getvalue()

    assert decode(encoded(255), where="x")[:, 0, 0].tolist() == ([10] * 3 if mode == "LA" else [10, 20, 30])
    with pytest.raises(InputError, match=r"transparent pixels.*background"):
        decode(encoded(254), where="x")
