"""The check of shapes that runs in every test: it must be there, and it must be able to fail."""

import random

import pytest
import torch

from robench.attack import norms, threat
from robench.types import Features, Images, Labels, PerSample
from tests.shapes import ShapeError, checking, fits, tensors_of


def test_it_is_at_work_in_this_run():
    with pytest.raises(ShapeError, match=r"_linf_project: delta is torch.float32 \(2, 3\), not Images"):
        norms.LINF.project(torch.zeros(2, 3), torch.ones(2))
    assert norms.LINF.project(torch.zeros(2, 1, 1, 3), torch.ones(2)).shape == (2, 1, 1, 3)
    model = threat.ThreatModel(eps=0.1)
    with pytest.raises(ShapeError, match=r"ThreatModel\.project"):
        model.project(torch.zeros(2, 1, 2, 2), torch.zeros(3, 1, 2, 2))


def toy(x: Images, y: Labels, *, scale: PerSample | None = None) -> Features:
    return x.flatten(1)[:, : int(y.max()) + 1] if scale is None else scale


checked = checking(toy)
X, Y = torch.zeros(2, 1, 2, 2), torch.tensor([0, 1])


def test_what_is_right_passes():
    assert checked(X, Y).shape == (2, 2)


@pytest.mark.parametrize(
    ("arguments", "options", "name"),
    [
        ((X[0], Y), {}, "x"),
        ((X, Y.float()), {}, "y"),
        ((X, torch.tensor([0])), {}, "y"),  # one label for two images
        ((X, Y), {"scale": torch.zeros(2, 1)}, "scale"),
        ((X, Y), {"scale": torch.zeros(2)}, "return"),
        ((X, None), {}, "y"),
    ],
)
def test_what_is_wrong_is_named(arguments, options, name):
    with pytest.raises(ShapeError, match=f"toy: {name} is "):
        checked(*arguments, **options)


def test_what_passed_once_is_told_from_what_looks_alike():
    def first(x: Images, y: Labels, *, rows: int | None = None) -> PerSample:
        return x.flatten(1)[:, 0] if rows is None else x.flatten(1)[:rows, 0]

    function = checking(first)
    for _ in range(3):
        assert function(X, Y).shape == (2,)
        with pytest.raises(ShapeError, match="first: y is "):
            function(X, Y.float())
        with pytest.raises(ShapeError, match="first: y is "):
            function(X, Y[:1])
    assert function(X, Y, rows=2).shape == (2,)
    with pytest.raises(ShapeError, match="first: return is "):
        function(X, Y, rows=1)  # the same kinds of arguments, and another result


def test_the_functions_own_errors_stay_what_they_are():
    with pytest.raises(TypeError, match="missing 1 required"):
        checked(X)
    with pytest.raises(RuntimeError, match="max") as error:
        checked(torch.zeros(0, 1, 2, 2), torch.zeros(0, dtype=torch.int64))
    assert not getattr(error.value, "__notes__", [])


def test_python_s_generator_stays_where_it_was():
    state = random.getstate()
    checked(X, Y)
    assert random.getstate() == state


@pytest.mark.parametrize(
    ("value", "hint", "right"),
    [
        ((X, Y), tuple[Images, Labels], True),
        ((X, X), tuple[Images, Labels], False),
        ((X,), tuple[Images, Labels], False),
        ((X, X), tuple[Images, ...], True),
        ((X, Y), tuple[Images, ...], False),
        (None, Images | None, True),
        (Y, Images | None, False),
        (1, int, True),
        ("1", int, False),
    ],
)
def test_choices_and_tuples_are_looked_into(value, hint, right):
    assert fits(value, hint) is right


def test_lists_and_functions_are_left_out():
    def several(xs: list[Images], x: Images) -> None:
        return None

    assert tensors_of(several) == ["x"]
