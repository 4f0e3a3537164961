"""The check of shapes that runs in every test: it must be there, and it must be able to fail."""

import random

import pytest
import torch

from robench import types
from robench.attack import norms, threat
from robench.errors import InputError
from robench.types import Features, Images, Labels, PerSample, Values
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


def test_a_word_beside_a_list_is_looked_at():
    def parts(count: int) -> tuple[list[Images], PerSample | None]:
        return [torch.zeros(2)], torch.zeros(count, 1)

    assert tensors_of(parts) == ["return"]
    with pytest.raises(ShapeError, match="parts: return is "):
        checking(parts)(2)


SHAPES = {
    "Images": (2, 3, 4, 5), "Image": (3, 4, 5), "StoredImages": (2, 3, 4, 5), "FlatImages": (2, 6),
    "Labels": (2,), "AnyLabels": (2,), "Pairs": (2, 2), "LabelsOrPairs": (2, 2), "Outputs": (2, 3),
    "ClassCounts": (2, 3), "Features": (2, 6), "Values": (2, 3, 4), "Scalar": (), "PerSample": (2,),
    "IntPerSample": (2,), "Mask": (2,), "Column": (2, 1), "RowNumbers": (4,), "RowMask": (4,),
    "SameShape": (2, 3), "Points": (4, 6), "PointLabels": (4,), "FeatureRow": (6,), "PerPair": (2, 4),
    "PointPairs": (4, 4), "ClassValues": (4, 3), "NearestPoints": (2, 3), "NearestDistances": (2, 3),
    "NeighbourLists": (6, 3), "EdgeValues": (6, 3), "EdgeMask": (6, 3), "PerPoint": (6,),
    "PointValues": (6, 3), "LayerValues": (2, 3, 4), "LayerMask": (2, 3, 4), "Coefficients": (4, 3, 4),
    "PerRow": (4,), "IntPerRow": (4,), "Corners": (4, 2), "OutputFunctions": (4, 3), "SplitSigns": (4, 5),
    "SplitValues": (4, 5),
}  # fmt: skip
"""A right shape of every word; each letter of a shape is one number."""
WRONG_SHAPES = {
    "Pairs": (2, 3), "LabelsOrPairs": (2, 3), "Column": (2, 2), "PointPairs": (4, 3), "Corners": (4, 3),
    "Values": (), "LayerValues": (), "LayerMask": (), "Coefficients": (), "Scalar": (1,), "SameShape": None,
}  # fmt: skip
"""Beside those of another number of axes: what only the numbers forbid. No shape is wrong for `SameShape`."""
KINDS = {"Float": torch.float64, "Int": torch.int64, "Integer": torch.uint8, "Bool": torch.bool}


def dtype_of(name):
    word = getattr(types, name)
    first = next(iter(getattr(word, "__args__", (word,))))
    return KINDS[first.__name__.partition("[")[0]]


def test_every_word_has_an_example():
    assert [*SHAPES] == [*types.__annotations__]


@pytest.mark.parametrize("name", SHAPES)
def test_a_word_tells_its_tensors_from_those_of_other_shapes_and_types(name):
    word, shape, dtype = getattr(types, name), SHAPES[name], dtype_of(name)
    assert fits(torch.zeros(shape, dtype=dtype), word)
    other = torch.float32 if dtype in (torch.int64, torch.uint8, torch.bool) else torch.int64
    assert not fits(torch.zeros(shape, dtype=other), word)
    assert not fits(torch.zeros(shape, dtype=torch.complex64), word)
    wrong = WRONG_SHAPES.get(name, (*shape, 1))
    assert wrong is None or not fits(torch.zeros(wrong, dtype=dtype), word)


def test_a_shape_of_any_length_is_the_same_in_one_call():
    def moved(x: types.SameShape) -> types.SameShape:
        return x.flatten()

    assert checking(moved)(torch.zeros(3)).shape == (3,)
    with pytest.raises(ShapeError, match="moved: return is "):
        checking(moved)(torch.zeros(3, 1))


def test_all_of_many_arguments_are_looked_at():
    def total(*parts: Values) -> Values:
        return sum(parts)

    function = checking(total)
    assert function(torch.zeros(2, 3), torch.zeros(2, 3)).shape == (2, 3)
    with pytest.raises(ShapeError, match="total: parts is "):
        function(torch.zeros(2, 3), torch.zeros(2, 3, dtype=torch.int64))
    with pytest.raises(ShapeError, match="total: parts is "):
        function(torch.zeros(2, 3), torch.zeros(3, 3))


def test_a_function_that_refuses_by_itself_keeps_its_own_error():
    def careful(x: Images) -> PerSample:
        if x.ndim != 4:
            raise InputError(expected="images (B, C, H, W)", got=f"{x.ndim} axes")
        return x.flatten(1).sum(1)

    with pytest.raises(InputError, match="3 axes"):
        checking(careful)(X[0])
    with pytest.raises(ShapeError, match="careful: x is "):
        checking(careful)(X.long())  # which it accepts, against what it says


def test_static_methods_class_methods_and_properties_are_checked():
    from model_zoo.graph.gradient import _CrossDistances
    from robench.bounds.rectifier import Lines

    with pytest.raises(ShapeError, match="forward: template is "):
        _CrossDistances.forward(None, torch.zeros(2, 3), torch.zeros(4, 2))
    with pytest.raises(ShapeError, match="between: high is "):
        Lines.between(torch.zeros(2, 3), torch.zeros(3, 3), 0.0)
    lines = Lines.between(torch.zeros(2, 3), torch.ones(2, 3), 0.0)
    assert not lines.loose.any()
