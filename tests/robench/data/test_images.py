"""Images and labels that nobody here made: they enter unchanged, or are refused in one sentence."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from robench.api import benchmark
from robench.data.images import image_set
from robench.errors import InputError

RNG = np.random.default_rng(0)
X = RNG.random((6, 3, 5, 4)).astype("float32")
BYTES = RNG.integers(0, 256, (6, 3, 5, 4)).astype("uint8")
Y = np.array([0, 1, 2, 2, 1, 0])
INTEGERS = [f"{order}{kind}{size}" for order in "<>" for kind in "iu" for size in (1, 2, 4, 8)]


def refused(images, labels, words, **options):
    with pytest.raises(InputError, match=words) as error:
        image_set(images, labels, **options)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("dtype", INTEGERS)
@pytest.mark.parametrize("shape", [(6,), (6, 1), (1, 6)])
def test_labels_of_any_integer_type_are_the_same_labels(dtype, shape):
    data = image_set(X, Y.astype(dtype).reshape(shape))
    assert data.labels.dtype == torch.int64
    assert data.digest() == image_set(X, Y).digest()


@pytest.mark.parametrize(
    "dtype", [torch.uint8, torch.int8, torch.uint16, torch.int32, torch.uint32, torch.uint64]
)
def test_labels_in_torch_too(dtype):
    assert image_set(X, torch.tensor(Y).to(dtype)[:, None]).digest() == image_set(X, Y).digest()


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        (np.eye(3, dtype=int)[Y], "argmax over the last axis"),
        (torch.eye(3)[Y], "argmax over the last axis"),
        (np.eye(6, dtype=int)[:3], "argmax over the first axis"),
        (Y.reshape(6, 1, 1), r"labels\.reshape\(-1\)"),
        (Y[:5], r"6 labels, one per image.*\(5,\)"),
        (Y.astype(float), "whole numbers: cast to int64"),
        (np.where(Y == 2, np.nan, Y), "nan at image 2"),
        (Y + 0.5, "0.5 at image 0"),
        (Y > 0, "integer labels, got bool"),
        (Y.astype(complex), "complex numbers"),
        (Y.astype(str), "text"),
        (Y.astype(object), "Python objects"),
        (Y.astype("M8[s]"), "dates"),
        (np.zeros(6, dtype=[("a", int)]), "records"),
        (np.ma.masked_equal(Y, 2), "masked values"),
        (torch.tensor(Y).to_sparse(), "a sparse_coo tensor"),
        (torch.empty(6, dtype=torch.int64, device="meta"), "on meta"),
        ([[0], [1, 2], 0, 0, 0, 0], "cannot be read"),
        (["cat"] * 6, "cannot be read"),
        (["0", None], "cannot be read"),
        (None, "got None"),
        ("cat", "got a str"),
        ({"a": 1}, "got a dict"),
        (3, "a single number"),
        (np.full(6, 2**63, dtype="u8"), "at image 0"),
        (np.full(6, 10**12), "1000000000000 at image 0"),
        (np.where(Y == 2, -1, Y), "-1 at image 2"),
        ([2**70] * 6, "cannot be read"),
    ],
)
def test_other_labels_are_refused_in_one_sentence(labels, words):
    refused(X, labels, words)


def test_labels_that_count_from_one_are_hinted_at(caplog):
    refused(X, Y + 1, "from 1 to 3: subtract 1", classes=3)
    refused(X, Y.clip(0, 1) * 2 - 1, r"\(labels \+ 1\) // 2", classes=2)
    image_set(X, Y)
    assert not caplog.records
    assert len(image_set(X, Y + 1).classes) == 4
    assert "labels count from 0" in caplog.text


def test_classes_may_be_more_than_the_labels_show_and_never_fewer():
    assert image_set(X, Y, classes=np.int64(5)).classes == ("0", "1", "2", "3", "4")
    assert image_set(X, Y, classes=("a", "b", "c", "d")).classes == ("a", "b", "c", "d")
    refused(X, Y, "labels from 0 to 1", classes=2)
    for bad in ("abc", True, 0, -1, 1.5, (), [1, 2, 3], 10**9):
        refused(X, Y, "classes", classes=bad)


STRIDES = {
    "negative": lambda a: a[:, :, ::-1][:, :, ::-1],
    "reversed": lambda a: a[::-1].copy()[::-1],
    "channels last": lambda a: a.transpose(0, 2, 3, 1).copy().transpose(0, 3, 1, 2),
    "Fortran": np.asfortranarray,
    "every other": lambda a: np.repeat(a, 2, axis=3)[:, :, :, ::2],
    "unaligned": lambda a: np.frombuffer(b"0" + a.tobytes(), a.dtype, offset=1).reshape(a.shape),
}


@settings(max_examples=60, deadline=None)
@given(
    dtype=st.sampled_from(["u1", "f2", "f4", "f8"]),
    order=st.sampled_from("<>"),
    strides=st.sampled_from(sorted(STRIDES)),
    labels=st.sampled_from(INTEGERS),
    frozen=st.booleans(),
    tensor=st.booleans(),
)
def test_strides_and_byte_order_change_nothing(dtype, order, strides, labels, frozen, tensor):
    plain = BYTES if dtype == "u1" else X.astype(dtype)
    images = STRIDES[strides](plain.astype(order + dtype))
    if frozen:
        images.flags.writeable = False
    if tensor and order == "<" and not frozen and strides in ("channels last", "Fortran", "every other"):
        images = torch.from_numpy(images)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        data = image_set(images, Y.astype(labels))
    # The digest of a plain tensor as it has always been, here made without any of the code under test.
    assert torch.equal(data.images, torch.from_numpy(plain))
    assert data.images.is_contiguous()
    assert data.digest() == image_set(torch.from_numpy(plain), torch.from_numpy(Y)).digest()


def test_the_digest_is_the_one_that_finished_work_is_filed_under():
    x = torch.arange(24, dtype=torch.uint8).view(2, 3, 2, 2)
    digests = [image_set(images, [0, 1]).digest()[:12] for images in (x, x.float() / 255, x.double() / 255)]
    assert digests == ["4621b9c3edb7", "4c1ef07f1d52", "5af3609859ec"]


def test_lists_are_read_as_what_they_hold():
    plain = image_set(X, np.arange(6)).digest()
    assert image_set(list(X), range(6)).digest() == plain
    assert image_set([torch.tensor(x) for x in X], list(range(6))).digest() == plain
    assert image_set(X.tolist(), [torch.tensor(i) for i in range(6)]).digest() == plain
    refused((x for x in X), Y, "a generator")


def test_floats_of_other_widths():
    half = torch.tensor(X).bfloat16()
    data = image_set(half, Y)
    assert data.images.dtype == torch.float32
    assert torch.equal(data.images, half.float())
    assert image_set(X.astype(np.longdouble), Y).images.dtype == torch.float64


def test_the_caller_keeps_the_tensor_and_the_set_its_own():
    x = torch.tensor(X, requires_grad=True)
    y = torch.tensor(Y)
    data = image_set(x, y)
    before = data.digest()
    assert x.requires_grad
    assert not data.images.requires_grad
    with torch.no_grad():
        x.zero_()
        y.zero_()
    assert data.digest() == before
    with torch.inference_mode():
        inside = image_set(X, Y)
    assert not inside.images.is_inference()


@pytest.mark.parametrize("images", [X, X.astype("f8"), BYTES])
@pytest.mark.parametrize("rows", [slice(None), slice(1, 3), torch.tensor([0, 4])])
def test_who_writes_into_a_batch_leaves_the_set_alone(images, rows):
    data = image_set(images, Y)
    before = data.digest()
    x, y = data.batch(rows)
    expected = torch.from_numpy(images)[rows].float() / (255 if images.dtype == "uint8" else 1)
    assert torch.equal(x, expected)
    assert x.dtype == torch.float32
    x.zero_()
    y.zero_()
    assert data.digest() == before
    part = data.subset(slice(0, 2))
    part.batch(slice(None))[0].fill_(0.5)
    assert data.digest() == before


@pytest.mark.parametrize(
    ("images", "words"),
    [
        (np.zeros((6, 8, 9, 3), "f4"), r"\(N, H, W, C\).*transpose\(0, 3, 1, 2\)"),
        (np.zeros((8, 9, 3, 6), "f4"), r"MATLAB.*transpose\(3, 2, 0, 1\)"),
        (X[:, 0], r"images\[:, None\]"),
        (np.zeros((6, 784), "f4"), r"reshape\(-1, 1, 28, 28\)"),
        (np.zeros((6, 3072), "f4"), r"reshape\(-1, 3, 32, 32\)"),
        (np.zeros((6, 7), "f4"), r"reshape\(-1, C, H, W\)"),
        (X[None], r"\(N, C, H, W\), got \(1, 6"),
        (X[:0], "at least one image"),
        (np.float32(1), r"got \(\)"),
        (BYTES.astype(int), "int64 from .*uint8 if 255 is white"),
        (BYTES > 5, "bool from 0 to 1. Cast them to float32"),
        (BYTES.astype("u2") * 256, "Divide by the value of white"),
        (X.astype(complex), "complex numbers"),
        (X.astype(object), "Python objects"),
        (X.astype("U9"), r"text \(<U9\)\.$"),
        ([X[0], X[0, :2]], "cannot be read"),
        (np.where(X > 0.9, np.nan, X), "NaN or infinity"),
        (np.where(X > 0.9, np.inf, X), "NaN or infinity"),
        (X * 255, "Divide by 255"),
        (X * 65535, "Divide by the value of white"),
        (X * 4 - 2, "Undo the normalisation"),
        (X + np.float32(1 - X.max() + 2e-4), r"to 1\.0002.*Clip them.*undo the normalisation"),
    ],
)
def test_other_images_are_refused_in_one_sentence(images, words):
    refused(images, Y, words)


def test_one_image_without_its_axis():
    refused(X[0], [0], r"images\[None\]")


@pytest.mark.parametrize(("dtype", "excess"), [("f4", 1e-6), ("f8", 1e-7), ("f4", 9e-5), ("f2", 9.8e-4)])
def test_a_rounding_error_outside_the_box_is_clipped_and_said(caplog, dtype, excess):
    x = X.astype(dtype)
    image_set(x, Y)
    assert not caplog.records
    x[1, 0, 0, :2], x[4, 0, 0, 0] = 1 + excess, -excess
    data = image_set(x, Y, name="mine")
    assert torch.equal(data.images, torch.from_numpy(x.clip(0, 1)))
    assert "mine: 3 pixels of 2 images a rounding error outside [0, 1] clipped" in caplog.text
    assert x.max() > 1


def test_pictures_that_are_almost_black_are_spoken_of(caplog):
    image_set(BYTES % 2, Y)
    assert "above 1 of 255" in caplog.text
    image_set(X / 255, Y)
    assert "divided by 255 twice" in caplog.text


def test_images_without_labels_are_none_to_evaluate():
    with pytest.raises(InputError, match=r"robench\.image_set"):
        benchmark([], X, attacks={}, eps=0.1)  # type: ignore[arg-type]


def test_copies_among_test_images_are_told(caplog):
    different = torch.rand(20, 1, 3, 3, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(20) % 4
    image_set(different, labels, classes=4)
    image_set(different.repeat(3, 1, 1, 1), labels.repeat(3), classes=4, split="train")
    assert caplog.text == ""
    image_set(different.repeat_interleave(10, 0), labels.repeat_interleave(10), classes=4, name="dup")
    assert "dup: only 20 of 200 images are different" in caplog.text
