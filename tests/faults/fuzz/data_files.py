"""Data files of every kind that is read, small and valid, and what hostile ones are made of."""

import gzip
import io
import pickle
import struct
import zipfile

import numpy as np
import scipy.io
import torch
from hypothesis import strategies as st
from PIL import Image

from model_zoo.datasets import CIFAR10, CIFAR10JPEG, MNIST, SVHN, ImageFolder, Npz
from robench.data.images import image_set
from tests.faults.fuzz.mutations import NUMBERS, damaged, programs

RNG = np.random.default_rng(0)


def check_set(data):
    """Sane is: what an ImageSet promises."""
    assert data.images.ndim == 4
    assert len(data.images) == len(data.labels) == len(data.indices) > 0
    assert data.labels.dtype == torch.int64
    assert 0 <= int(data.labels.min()) <= int(data.labels.max()) < len(data.classes) <= 1_000_000
    assert data.images.dtype == torch.uint8 or data.images.is_floating_point()
    if data.images.is_floating_point():
        assert 0 <= float(data.images.min()) <= float(data.images.max()) <= 1


def npz(pack=np.savez, **arrays):
    stream = io.BytesIO()
    pack(stream, **arrays)
    return stream.getvalue()


X, Y = RNG.random((3, 1, 4, 4), dtype=np.float32), np.array([0, 1, 2])
NPZ = (
    npz(x=X, y=Y),
    npz(np.savez_compressed, x_test=(X * 255).astype(np.uint8), y_test=Y.astype(">u2")),
    npz(images=np.asfortranarray(X[:, 0]), labels=Y, other=np.array(["a", "b"])),
)
NPY_TOKENS = [
    b"'|O'",
    b"'<f4'",
    b"'>i8'",
    b"'<U99999999'",
    b"[('a','<f8',(99999,))]",
    b"(999999999999,)",
    b"(-1, 5)",
    b"(" * 90,
    b"()",
    b"True",
    b"{'descr':",
    b"\x93NUMPY\x01\x00",
    b"\x93NUMPY\x03\x00",
    b"'V99999999999'",
    b"1e9",
    b"\xff\xff",
]


@st.composite
def npy_members(draw):
    """Draw an archive whose headers declare anything."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", draw(st.sampled_from([0, 8]))) as archive:
        for name in ("x", "y"):
            kind = draw(
                st.sampled_from(
                    ["<f4", ">f8", "|u1", "|O", "<i8", "<U9", "|V7", "<c16", "<M8[s]", "<f2", "?"]
                )
            )
            side = st.sampled_from([0, 1, 2, 3, 4, -1, *NUMBERS[9:]])
            shape = tuple(draw(st.lists(side, max_size=6)))
            head = f"{{'descr': {kind!r}, 'fortran_order': {draw(st.booleans())}, 'shape': {shape}}}".encode()
            version, form = draw(
                st.sampled_from([(b"\1\0", "<H"), (b"\2\0", "<I"), (b"\3\0", "<I"), (b"\\9\0", "<H")])
            )
            length = draw(st.sampled_from([len(head), len(head), len(head), 0, 65535]))
            body = draw(st.binary(max_size=200))
            archive.writestr(f"{name}.npy", b"\x93NUMPY" + version + struct.pack(form, length) + head + body)
    return stream.getvalue()


def read_npz(folder, data):
    path = folder / "d.npz"
    path.write_bytes(data)
    for options in ({}, {"classes": 5}):
        check_set(Npz(path=str(path), **options)("test"))


def idx(array):
    head = struct.pack(">BBBB", 0, 0, 8, array.ndim) + struct.pack(f">{array.ndim}I", *array.shape)
    return head + array.astype(np.uint8).tobytes()


IDX = (idx(X[:, 0] * 255), idx(Y), gzip.compress(idx(Y)))


def read_idx_pair(folder, pair):
    raw = folder / "MNIST" / "raw"
    raw.mkdir(parents=True, exist_ok=True)
    (raw / "t10k-images-idx3-ubyte").write_bytes(pair[0])
    (raw / "t10k-labels-idx1-ubyte").write_bytes(pair[1])
    check_set(MNIST()("test", root=folder))


# The pickles of CIFAR

PIXELS = RNG.integers(0, 256, (2, 3072), dtype=np.uint8)
BATCH = {"data": PIXELS, "labels": [1, 0], "filenames": ["a.png", "b.png"], "batch_label": "x"}
CIFAR = (
    *(pickle.dumps(BATCH, protocol=p) for p in (0, 2, 4)),
    pickle.dumps({"label_names": ["a", "b", "c"]}, protocol=2),
)
STEPS = [
    b"K\x01",
    b"K\x00",
    b"M\xff\xff",
    b"J\xff\xff\xff\xff",
    b"\x8a\x09" + b"\xff" * 8 + b"\x7f",
    b"N",
    b"\x88",
    b"\x89",
    b"]",
    b"}",
    b")",
    b"(",
    b"t",
    b"\x85",
    b"\x86",
    b"\x87",
    b"e",
    b"a",
    b"u",
    b"s",
    b"R",
    b"b",
    b"q\x00",
    b"q\x01",
    b"h\x00",
    b"h\x01",
    b"X\x04\x00\x00\x00data",
    b"X\x06\x00\x00\x00labels",
    b"U\x02u1",
    b"U\x03abc",
    b"V" + b"x" * 9 + b"\n",
    b"I5\n",
    b"I01\n",
    b"d",
    b"l",
    b"\x94",
    b"\x93",
    b"c_codecs\nencode\n",
    b"cnumpy\nndarray\n",
    b"cnumpy\ndtype\n",
    b"cos\nsystem\n",
    b"cnumpy.core.multiarray\n_reconstruct\n",
    b"r\xff\xff\xff\x7f",
    b"\x95\xff\xff\xff\xff\xff\xff\xff\x7f",
    b"0",
    b"2",
    b"Q",
]


def read_cifar(folder, pair):
    place = folder / "cifar-10-batches-py"
    place.mkdir(exist_ok=True)
    (place / "test_batch").write_bytes(pair[0])
    (place / "batches.meta").write_bytes(pair[1])
    check_set(CIFAR10()("test", root=folder))


cifar_bytes = st.one_of(damaged(CIFAR, STEPS), programs(STEPS))

# MATLAB


def mat(packing, **more):
    stream = io.BytesIO()
    digits = RNG.integers(0, 256, (32, 32, 3, 2), dtype=np.uint8)
    content = {"X": digits, "y": np.array([[1], [10]], dtype=np.uint8), **more}
    scipy.io.savemat(stream, content, do_compression=packing)
    return stream.getvalue()


MAT = (mat(True), mat(False), mat(False, s={"a": {"b": [1, 2]}}, c=np.array([1, "x"], dtype=object)))
MAT_TOKENS = [
    struct.pack("<II", kind, size) for kind in (1, 5, 9, 14, 15) for size in (0, 4, 8, 2**31, 2**32 - 1)
]


def read_svhn(folder, data):
    (folder / "test_32x32.mat").write_bytes(data)
    check_set(SVHN()("test", root=folder))


# Pictures


def picture(form, size=(5, 4), **options):
    stream = io.BytesIO()
    image = Image.fromarray(RNG.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8))
    image.save(stream, form, **options)
    return stream.getvalue()


FORMS = ("PNG", "JPEG", "BMP", "GIF", "PPM", "TIFF", "WEBP", "EPS", "ICO", "TGA", "PCX", "SGI")
PICTURES = (
    *map(picture, FORMS),
    picture("TIFF", compression="tiff_lzw"),
    picture("TIFF", compression="tiff_deflate"),
    picture("PNG", (300, 200)),
)
PICTURE_TOKENS = [
    b"IHDR" + struct.pack(">II", 2**31 - 1, 2**31 - 1),
    b"IHDR" + struct.pack(">II", 9000, 9000),
    b"IDAT",
    b"IEND",
    b"zTXt",
    b"iCCP",
    b"\xff\xd8",
    b"\xff\xc0\x00\x11\x08\xff\xff\xff\xff\x03",
    b"P6\n999999 999999\n255\n",
    b"P5 9 9 65535\n",
    b"%!PS-Adobe-3.0\n",
    b"GIF89a\xff\xff\xff\xff",
    b"II*\0",
    b"MM\0*",
    b"RIFF",
    b"WEBPVP8X",
]


def read_folder(folder, data):
    for name, content in (("a", data), ("b", PICTURES[0])):
        (folder / "set" / "test" / name).mkdir(parents=True, exist_ok=True)
        (folder / "set" / "test" / name / "1.png").write_bytes(content)
    check_set(ImageFolder(path=str(folder / "set"), resize=4)("test"))


def jpeg_zip(pack):
    names = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", pack) as archive:
        for name in names:
            archive.writestr(f"test/{name}/0.jpg", picture("JPEG", (32, 32)))
    return stream.getvalue()


JPEG_ZIPS = (jpeg_zip(zipfile.ZIP_STORED), jpeg_zip(zipfile.ZIP_DEFLATED))


def read_jpeg_zip(folder, data):
    (folder / "cifar10-jpeg.zip").write_bytes(data)
    check_set(CIFAR10JPEG()("test", root=folder))


VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.text(max_size=3),
    st.sampled_from([10**12, 2**63 - 1]),
)
DTYPES = ("u1", "i1", "i8", "u8", ">i2", "f2", "f4", "f8", "g", "?", "c8", "U3", "O", "M8[s]", "V4")


@st.composite
def arrays(draw, axes):
    if draw(st.integers(0, 3)) == 0:
        return draw(st.recursive(VALUES, lambda inner: st.lists(inner, max_size=4), max_leaves=12))
    shape = tuple(
        draw(st.lists(st.sampled_from([0, 1, 2, 3, 5]), min_size=max(axes - 1, 0), max_size=axes + 1))
    )
    value = draw(st.sampled_from([0, 1, -1, 0.5, 255, 256, 10**12, float("nan"), float("inf"), 1.00001]))
    with np.errstate(all="ignore"):
        try:
            array = np.zeros(shape, dtype=draw(st.sampled_from(DTYPES)))
            if array.size:
                array.reshape(-1)[draw(st.integers(0, array.size - 1))] = value
        except (ValueError, OverflowError, TypeError):
            pass
    return array


def read_arrays(_folder, pair):
    check_set(image_set(*pair))
