"""The graph methods against the package graphlearning, an independent implementation by their authors.

A few random graphs in every run, a thousand with `-m slow`; skipped where graphlearning is not installed.
"""

import importlib.util
import itertools
import warnings

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from model_zoo.graph import Graph, interpolate
from model_zoo.graph.gradient import HarmonicExtension
from model_zoo.graph.p_laplace import p_laplace_values
from model_zoo.graph.poisson import poisson
from model_zoo.graph.properly_weighted import Reach, properly_weighted
from model_zoo.graph.self_tuning import self_tuning
from tests.model_zoo.graph import graph_truths as truth

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("graphlearning") is None,
    reason="graphlearning is not installed (pip install graphlearning==1.7.5)",
)
AGREEMENT = 1e-6
P, REACH = 4.0, Reach(radius=0.8, alpha=2.5, zeta=1e4)


@pytest.fixture(scope="module")
def gl():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("graphlearning")


def laplace(gl, s, indices, labels, **options):
    """Their Laplace learning on given weights, all rows; their default tolerance is 1e-5."""
    model = gl.ssl.laplace(sp.csr_matrix(s), tol=1e-11, **options)
    return model.fit(indices, labels)


def theirs(gl, method, query, template, labels, classes, m, n):
    points = np.concatenate([query, template])
    indices = np.arange(len(query), len(points))
    s = truth.symmetric(points, m, n)
    if method == "gll":
        d2, near = truth.lists_of(points, m)
        data = (near, np.sqrt(np.take_along_axis(d2, near, 1)))
        w = gl.weightmatrix.knn(None, m - 1, kernel="symgaussian", knn_data=data)
        return laplace(gl, w, indices, labels)
    if method == "poisson":
        return gl.ssl.poisson(sp.csr_matrix(s), tol=1e-11).fit(indices, labels)
    if method == "pwll":
        radius, alpha, zeta = REACH
        w = gl.graph(sp.csr_matrix(s)).reweight(
            indices, "properly", X=points, r=radius, alpha=alpha, zeta=zeta
        )
        return laplace(gl, w, indices, labels)
    if method == "p_laplace":
        from graphlearning import cextensions

        columns = []
        graph = gl.graph(sp.csr_matrix(s))
        for label in range(classes):
            u, alpha = np.zeros(len(points)), 1 / (P - 1)
            values = (labels == label).astype(np.float64)
            # their `plaplace(fast=True)` with a finer tolerance than its fixed 1e-6
            cextensions.lip_iterate(
                u,
                graph.J,
                graph.I,
                graph.V,
                indices.astype(np.int32),
                values,
                1e6,
                1e-12,
                0.0,
                0.0,
                alpha,
                1 - alpha,
            )
            columns.append(u)
        return np.stack(columns, 1)
    return laplace(gl, s, indices, labels, reweighting="wnll" if method == "wnll" else "none")


def symmetric_wnll(s, labels, classes):
    """Eq. 5 for weights W that are symmetric already, as theirs are: every point lists all others."""
    count = len(s)
    ids = torch.stack([torch.arange(count).roll(-i) for i in range(count)])
    weight = torch.from_numpy(s).gather(1, ids)
    mu = Graph().coupling(points=count, template=len(labels))
    return HarmonicExtension.apply(weight, ids, labels, classes, mu, "cholesky")[0]


def ours(method, query, template, labels, classes, m, n):
    graph = Graph(m=m, n=m if method == "gll" else n, mu="none")
    options = {"classes": classes, "graph": graph}
    match method:
        case "wnll":
            s = truth.symmetric(torch.cat([query, template]).numpy(), m, n)
            return symmetric_wnll(s, labels, classes)
        case "laplace":
            return interpolate(query, template, labels, **options).u
        case "poisson":
            return poisson(query, template, labels, **options).u
        case "pwll":
            return properly_weighted(query, template, labels, **options, reach=REACH).u
        case "gll":
            return self_tuning(query, template, labels, **options).u
        case _:
            return p_laplace_values(query, template, labels, **options, p=P).u


def comparable(s, labels, classes):
    """Whether both can solve it: connected, for else there is no single solution, and every class seen.

    Their conjugate gradients divide 0 by 0 where no query is joined to any label of a class.
    """
    ties = s[: len(s) - len(labels), len(s) - len(labels) :] @ np.eye(classes)[labels]
    return truth.connected(s) and bool((ties.sum(0) > 0).all())


def largest_gap(gl, method, count, start=0):
    """The largest difference over `count` random graphs, of the seeds from `start` on."""
    gaps, seeds, failures = [], itertools.count(start), 0
    while len(gaps) < count:
        seed = next(seeds)
        query, template, labels, classes, m, n = truth.problem(seed)
        points = torch.cat([query, template]).numpy()
        s = truth.self_tuned(points, m) if method == "gll" else truth.symmetric(points, m, n)
        if not comparable(s, labels.numpy(), classes):
            continue
        problem = (classes, m, n)
        want = theirs(gl, method, query.numpy(), template.numpy(), labels.numpy(), *problem)[: len(query)]
        if not np.isfinite(want).all():
            # their conjugate gradients divide 0 by 0 once the residual of one class only is exactly 0
            failures += 1
            assert failures <= 8 + count // 4, "their solver fails too often to say anything"
            continue
        gaps.append(np.abs(ours(method, query, template, labels, *problem).numpy() - want).max())
    return np.max(gaps)


METHODS = ["wnll", "laplace", "poisson", "pwll", "gll", "p_laplace"]


@pytest.mark.parametrize("method", METHODS)
def test_a_few_random_graphs_agree(gl, method):
    assert largest_gap(gl, method, 8) <= AGREEMENT


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_a_thousand_random_graphs_agree(gl, method):
    assert largest_gap(gl, method, 1000, start=100) <= AGREEMENT
