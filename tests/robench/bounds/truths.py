"""Exact minima of small networks, by means that share nothing with the bounds: enumeration and HiGHS."""

import itertools

import numpy as np
import torch
from scipy.optimize import LinearConstraint, linprog, milp
from scipy.sparse import lil_matrix
from torch import nn


def segments(net, shape):
    """Split a Sequential at its ReLUs: a list of (matrix, offset), in float64."""
    parts, current, size = [], [], tuple(shape)
    for layer in [*net, None]:
        if layer is not None and not isinstance(layer, nn.ReLU):
            current.append(layer)
            continue
        affine = nn.Sequential(*current).double().eval()
        with torch.no_grad():
            offset = affine(torch.zeros(1, *size, dtype=torch.float64))
            count = int(np.prod(size))
            basis = affine(torch.eye(count, dtype=torch.float64).view(count, *size)) - offset
        parts.append((basis.flatten(1).numpy().T, offset.flatten().numpy()))
        size, current = tuple(offset.shape[1:]), []
    return parts


def milp_minimum(net, x, low, high, weights):
    """Least weights . net(x) over a box, by integer programming (Tjeng et al. 2019, arXiv:1711.07356)."""
    parts = segments(net, x.shape)
    lower, upper = low.flatten().double().numpy(), high.flatten().double().numpy()
    sizes = [len(lower)]
    for matrix, _ in parts[:-1]:
        sizes += [len(matrix), len(matrix)]  # values after the ReLU, and which branch
    starts = np.cumsum([0, *sizes])
    total = int(starts[-1])
    box_low, box_high = np.zeros(total), np.zeros(total)
    box_low[: sizes[0]], box_high[: sizes[0]] = lower, upper
    integral = np.zeros(total)
    rows, least, most = [], [], []

    def constraint(entries, bottom, top):
        rows.append(entries)
        least.append(bottom)
        most.append(top)

    before, lo, hi = 0, lower, upper
    for number, (matrix, offset) in enumerate(parts[:-1]):
        middle, radius = matrix @ (lo + hi) / 2 + offset, np.abs(matrix) @ (hi - lo) / 2
        z_low, z_high = middle - radius - 1e-9, middle + radius + 1e-9
        value, branch = int(starts[1 + 2 * number]), int(starts[2 + 2 * number])
        for i, row in enumerate(matrix):
            inner = {before + j: w for j, w in enumerate(row) if w != 0}
            v, d = value + i, branch + i
            box_high[v], box_high[d], integral[d] = max(z_high[i], 0), 1, 1
            if z_low[i] >= 0:
                box_low[d] = 1
            if z_high[i] <= 0:
                box_high[d] = 0
            # v >= z, v <= z - l (1 - d), v <= u d
            constraint({v: 1.0, **{k: -w for k, w in inner.items()}}, offset[i], np.inf)
            constraint(
                {v: 1.0, d: -min(z_low[i], 0), **{k: -w for k, w in inner.items()}},
                -np.inf,
                offset[i] - min(z_low[i], 0),
            )
            constraint({v: 1.0, d: -max(z_high[i], 0)}, -np.inf, 0.0)
        before, lo, hi = value, np.maximum(z_low, 0), np.maximum(z_high, 0)
    matrix, offset = parts[-1]
    cost = np.zeros(total)
    cost[before : before + matrix.shape[1]] = weights @ matrix
    table = lil_matrix((max(len(rows), 1), total))
    for i, entries in enumerate(rows):
        for k, w in entries.items():
            table[i, k] = w
    constraints = LinearConstraint(table.tocsr(), least, most) if rows else ()
    from scipy.optimize import Bounds

    solution = milp(cost, integrality=integral, bounds=Bounds(box_low, box_high), constraints=constraints,
                 options={"mip_rel_gap": 0.0})  # fmt: skip
    assert solution.status == 0, solution.message
    return float(solution.fun + weights @ offset)


def enumerated_minimum(net, x, low, high, weights, radius=None):
    """Least weights . net(x) of one hidden layer over a box, and an L1 ball around x, pattern by pattern."""
    (first, offset), (second, last) = segments(net, x.shape)
    centre, lower, upper = (t.flatten().double().numpy() for t in (x, low, high))
    n, best = len(centre), np.inf
    for pattern in itertools.product((0.0, 1.0), repeat=len(first)):
        on = np.array(pattern)
        cost = (weights @ second * on) @ first
        sign = np.where(on > 0, -1.0, 1.0)  # on: -z <= 0, off: z <= 0
        table, limit = sign[:, None] * first, -sign * offset
        bounds = list(zip(lower, upper, strict=True))
        if radius is not None:  # |x - centre| <= t, sum t <= radius
            eye = np.eye(n)
            table = np.block([[table, np.zeros((len(table), n))], [eye, -eye], [-eye, -eye],
                              [np.zeros((1, n)), np.ones((1, n))]])  # fmt: skip
            limit = np.concatenate([limit, centre, -centre, [radius]])
            cost, bounds = np.concatenate([cost, np.zeros(n)]), bounds + [(0, None)] * n
        solution = linprog(cost, A_ub=table, b_ub=limit, bounds=bounds)
        if solution.status == 0:
            best = min(best, solution.fun + (weights @ second * on) @ offset + weights @ last)
    return best


def margins_of(classes, y):
    """Return every `true class minus rival` as rows of weights."""
    rows = []
    for rival in range(classes):
        if rival != y:
            row = np.zeros(classes)
            row[y], row[rival] = 1.0, -1.0
            rows.append(row)
    return rows
