"""Templates that are refused, and how large a random one must be (Theorem 2)."""

import pytest
import torch

from model_zoo.graph import Graph, check_template, expected_template_size, interpolate, prepare_template
from robench.errors import InputError


@pytest.mark.parametrize("classes", [2, 10])
def test_theorem_2_by_simulation(classes):
    rng = torch.Generator().manual_seed(0)
    runs = 4000
    draws = torch.randint(classes, (runs, 40 * classes), generator=rng)
    first = torch.stack([(draws == c).int().argmax(1) for c in range(classes)])
    assert all((draws == c).any(1).all() for c in range(classes))
    sizes = first.amax(0).double() + 1
    error = sizes.std() / runs**0.5
    assert abs(sizes.mean() - expected_template_size(classes)) < 4 * error
    assert error < 0.02 * sizes.mean()


def test_theorem_2_values():
    assert expected_template_size(1) == 1
    assert expected_template_size(10) == pytest.approx(29.2897, abs=1e-4)
    assert expected_template_size(100) == pytest.approx(518.7378, abs=1e-4)


def test_missing_classes_are_named():
    with pytest.raises(InputError, match="class 1, 4"):
        check_template(torch.tensor([0, 2, 3, 3]), 5)
    check_template(torch.tensor([4, 0, 2, 3, 1]), 5)


@pytest.mark.parametrize(
    ("labels", "match"),
    [
        (torch.eye(3), r"class numbers \(T,\)"),
        (torch.eye(3, dtype=torch.int64), r"class numbers \(T,\)"),
        (torch.tensor([0.0, 1.0, 2.0]), "float32"),
        (torch.tensor([True, False]), "bool"),
        (torch.tensor([0, 1, 2, 3]), r"labels \[3\]"),
        (torch.tensor([0, 1, 2, -1]), r"labels \[-1\]"),
        (torch.tensor([], dtype=torch.int64), "class 0, 1, 2"),
    ],
)
def test_bad_labels_are_refused(labels, match):
    with pytest.raises(InputError, match=match):
        check_template(labels, 3)


def usable():
    rng = torch.Generator().manual_seed(0)
    return torch.randn(10, 3, generator=rng), torch.randn(12, 3, generator=rng), torch.arange(12) % 3


def test_bad_graphs_are_refused():
    query, template, labels = usable()
    small = Graph(m=5, n=3)
    interpolate(query, template, labels, classes=3, graph=small)
    with pytest.raises(InputError, match="m = 30"):
        interpolate(query, template, labels, classes=3)
    with pytest.raises(InputError, match="m = 14"):
        prepare_template(template, labels, classes=3, graph=Graph(m=14, n=3))
    with pytest.raises(InputError, match="1 rows with NaN"):
        interpolate(
            query.index_fill(0, torch.tensor([2]), torch.nan), template, labels, classes=3, graph=small
        )
    with pytest.raises(InputError, match="finite template"):
        interpolate(query, template / 0, labels, classes=3, graph=small)
    with pytest.raises(InputError, match="one label per"):
        interpolate(query, template[1:], labels, classes=3, graph=small)
    with pytest.raises(InputError, match=r"query features \(Q, 3\)"):
        interpolate(query[:, :2], template, labels, classes=3, graph=small)
    with pytest.raises(InputError, match="Flatten"):
        interpolate(query, template[..., None], labels, classes=3, graph=small)
    with pytest.raises(InputError, match="float type"):
        interpolate(query.long(), template, labels, classes=3, graph=small)
    with pytest.raises(InputError, match="without class 3"):
        interpolate(query, template, labels, classes=4, graph=small)
