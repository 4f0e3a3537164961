"""The plane of the first two principal components of clean features (Wang & Osher 2019, section 5)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Rows = NDArray[np.floating[Any]]


@dataclass(frozen=True, slots=True)
class Plane:
    """Two directions through the middle of some features.

    Attributes:
        middle: (D,) the mean.
        axes: (2, D) orthonormal rows; the second is zero where features vary in one direction only.
        shares: how much of the variance each holds, from 0 to 1.
    """

    middle: Rows
    axes: Rows
    shares: tuple[float, float]

    def place(self, features: Rows) -> Rows:
        """Return where features (M, D) lie in the plane, (M, 2); not a number where a feature is none."""
        import numpy as np

        good = np.isfinite(features).all(axis=1)
        placed = np.full((len(features), 2), np.nan)
        placed[good] = (features[good].astype("float64") - self.middle) @ self.axes.T
        return placed


def plane_of(features: Rows) -> Plane | None:
    """Return the principal plane of features (M, D); None where there is none.

    Rows that are not finite are left out. There is no plane of fewer than two rows, or where all are equal.
    """
    import numpy as np
    from sklearn.decomposition import PCA

    good = features[np.isfinite(features).all(axis=1)].astype("float64")
    if len(good) < 2 or not (good != good[0]).any():
        return None
    # The largest absolute feature as unit: squares of huge ones would overflow.
    scale = float(np.abs(good).max())
    fitted = PCA(n_components=min(2, *good.shape), svd_solver="full").fit(good / scale)
    axes, shares = np.zeros((2, good.shape[1])), [0.0, 0.0]
    for at, (axis, share) in enumerate(
        zip(fitted.components_, fitted.explained_variance_ratio_, strict=True)
    ):
        axes[at], shares[at] = axis, float(share)
    return Plane(fitted.mean_ * scale, axes, (shares[0], shares[1]))
