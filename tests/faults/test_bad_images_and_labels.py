"""Images and labels that cannot be used end a run before it begins, with range or place and a remedy."""

import numpy as np
import pytest

from tests.faults.plans import images, labels, refused, run

X = images()


@pytest.mark.thorough
def test_the_plan_runs_with_images_as_they_should_be(tmp_path, monkeypatch):
    answer = run(tmp_path, monkeypatch)
    assert answer.exit_code == 0, answer.output
    assert list(tmp_path.glob("out/units/*"))


MEAN, STD = np.float32(0.4), np.float32(0.2)


@pytest.mark.parametrize(
    ("x", "words"),
    [
        (np.round(X * 255), ["values from 1 to 254", "Divide by 255"]),
        (np.round(X * 65535), ["values from", "65535"]),
        ((X - MEAN) / STD, ["values from -1.986 to 2.986", "Undo the normalisation"]),
        (X * 1.1, ["values from", "to 1.0", "Clip them"]),
        (X * 2 - 1, ["values from -0.9", "Undo the normalisation"]),
        (np.round(X * 255).astype(np.int64), ["int64 from 1 to 254", "Cast them to uint8"]),
    ],
    ids=["0-255", "16 bits", "normalised", "overshoot", "-1 to 1", "integers"],
)  # fmt: skip
def test_images_of_another_range_are_refused_with_it_and_the_likely_fix(tmp_path, monkeypatch, x, words):
    refused(run(tmp_path, monkeypatch, x=x), tmp_path, *words)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_images_with_nan_or_infinity_are_refused_with_the_index_of_the_first(tmp_path, monkeypatch, value):
    x = X.copy()
    x[3, 0, 1, 1] = x[2, 0, 7, 7] = value
    answer = run(tmp_path, monkeypatch, x=x)
    refused(answer, tmp_path, "NaN or infinity in image 2")


@pytest.mark.parametrize(
    ("y", "words"),
    [
        (np.array([0, 1, 2, 10]), ["10 at image 3"]),
        (np.array([1, 2, 3, 10]), ["10 at image 3", "from 0 to 9"]),
        (np.arange(1, 11)[[0, 3, 5, 9]], ["subtract 1"]),
        (np.array([0, -1, 2, 3]), ["-1 at image 1"]),
        (np.eye(10, dtype=int)[labels()], ["one-hot", "argmax"]),
        (np.eye(10, dtype=np.float32)[labels()], ["one-hot", "argmax"]),
        (labels().astype(float), ["cast to int64"]),
        (labels() + 0.5, [".5 at image 0"]),
        (labels().astype(str), ["numbers", "U"]),
        (labels()[:3], ["4 labels, one per image"]),
        (np.array([0, 1, 2, 10**12]), ["1000000000000 at image 3"]),
    ],
)
def test_labels_that_are_no_class_indices_are_refused(tmp_path, monkeypatch, y, words):
    refused(run(tmp_path, monkeypatch, y=y), tmp_path, *words)
