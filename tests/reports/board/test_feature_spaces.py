"""The principal plane against a truth: points on a known plane in many dimensions."""

import numpy as np
import pytest

from reports.board.feature_spaces import principal_plane


def flat(rng, count=50, width=40):
    """Points on a plane in `width` dimensions: places in the plane, its directions, its middle."""
    directions = np.linalg.qr(rng.normal(size=(width, 2)))[0].T
    places = rng.normal(size=(count, 2)) * [5.0, 1.0]
    places = (places - places.mean(0)) @ np.linalg.svd(places - places.mean(0), full_matrices=False)[2].T
    middle = rng.normal(size=width)
    return places, directions, middle


@pytest.mark.parametrize("seed", range(5))
def test_a_plane_in_forty_dimensions_is_found(seed):
    places, directions, middle = flat(np.random.default_rng(seed))
    plane = principal_plane(places @ directions + middle)
    assert plane.middle == pytest.approx(middle)
    assert plane.axes @ plane.axes.T == pytest.approx(np.eye(2))
    # The axes are the plane's own, up to their signs.
    assert np.abs(plane.axes @ directions.T) == pytest.approx(np.eye(2), abs=1e-9)
    assert np.abs(plane.project(places @ directions + middle)) == pytest.approx(np.abs(places))
    assert plane.shares == pytest.approx(places.var(0) / places.var(0).sum())
    assert sum(plane.shares) == pytest.approx(1)


def test_what_lies_beside_the_plane_falls_on_it():
    places, directions, middle = flat(np.random.default_rng(0))
    plane = principal_plane(places @ directions + middle)
    away = np.linalg.svd(directions)[2][5]  # orthogonal to the plane
    assert plane.project((middle + 3 * away)[None]) == pytest.approx(np.zeros((1, 2)), abs=1e-9)


def test_the_same_features_give_the_same_signs():
    features = np.random.default_rng(0).normal(size=(30, 7)).astype(np.float32)
    first, second = principal_plane(features), principal_plane(features.copy())
    assert (first.axes == second.axes).all()
    assert first.shares == second.shares


def test_degenerate_features():
    assert principal_plane(np.zeros((0, 3))) is None
    assert principal_plane(np.ones((1, 3))) is None
    assert principal_plane(np.full((5, 3), 7.0)) is None
    assert principal_plane(np.full((5, 3), np.nan)) is None
    line = principal_plane(np.arange(4.0)[:, None])
    assert line.shares == pytest.approx((1, 0))
    assert line.project(np.array([[1.5]])).tolist() == [[0, 0]]
    huge = principal_plane(np.array([[1e38, 0], [-1e38, 1], [0, 5]], dtype=np.float32))
    assert np.isfinite(huge.project(np.array([[1e38, 0]]))).all()


def test_rows_that_are_no_numbers_are_left_out():
    features = np.random.default_rng(0).normal(size=(20, 4))
    dirty = np.vstack([features, [[np.nan] * 4, [np.inf] * 4]])
    assert principal_plane(dirty).axes == pytest.approx(principal_plane(features).axes)
    places = principal_plane(features).project(dirty)
    assert np.isfinite(places[:20]).all()
    assert not np.isfinite(places[20:]).any()


@pytest.mark.parametrize(("count", "size"), [(40, 7), (5, 30), (2, 3), (300, 2)])
def test_the_plane_is_that_of_an_independent_library(count, size):
    from sklearn.decomposition import PCA

    features = np.random.default_rng(count).normal(size=(count, size)) * np.linspace(1, 3, size) + 5
    plane, theirs = principal_plane(features), PCA(n_components=2, svd_solver="full").fit(features)
    assert plane.middle == pytest.approx(theirs.mean_)
    assert plane.shares == pytest.approx(tuple(theirs.explained_variance_ratio_), abs=1e-12)
    rows = slice(None) if count > 2 else slice(1)  # two points vary along one axis; the other is any
    assert plane.axes[rows] == pytest.approx(theirs.components_[rows], abs=1e-9)
