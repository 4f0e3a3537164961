"""Stored features of run folders, with the records that they belong to."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reports.board.identities import Setting, attack_of, model_of, setting_of
from robench.errors import StorageError
from robench.record.feature_snapshot import FeatureSnapshot, read_snapshot
from robench.record.schema import Record
from robench.record.store import Store

_NOTHING = 1e-13
"""A smaller share of the variance is rounding."""

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Rows = NDArray[np.floating[Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureSpace:
    """The feature space of one model on one board.

    Attributes:
        snapshot: the stored features.
        record: the first shard of the attack; it names model, attack, threat and classes.
    """

    snapshot: FeatureSnapshot
    record: Record

    @property
    def model(self) -> str:
        """Identity of the model; see `samples.model_of`."""
        return model_of(self.record.target)

    @property
    def setting(self) -> Setting:
        """The setting of its board."""
        return setting_of(self.record)

    @property
    def attack(self) -> str:
        """Identity of the attack; see `samples.attack_of`."""
        return attack_of(self.record)

    @property
    def gradient_source(self) -> str:
        """The gradient source of the attack."""
        return self.record.source.gradient_source

    @property
    def head(self) -> str:
        """The model's head, if known."""
        return self.record.target.detail("head")

    @property
    def protocol(self) -> str:
        """The protocol of a graph head, which decides which images share a graph; empty if unknown."""
        return self.record.target.detail("protocol")


def read_feature_spaces(
    root: Path, records: Iterable[Record], listed: object
) -> tuple[list[FeatureSpace], list[tuple[str, str]]]:
    """Return the spaces of a run folder that belong to these records, and the unreadable files.

    Args:
        root: the folder; one made before features were kept has none.
        records: the shown records.
        listed: the keys in run.json; anything but a list means all files.

    Returns:
        Views, at most one for each model and board; and (file, what is wrong with it) of every bad file.
    """
    store = Store(root)
    by_key = {record.key: record for record in records}
    if isinstance(listed, list):
        keys = [str(key) for key in listed]
    else:
        folder = root / "geometry"
        keys = sorted(path.stem for path in folder.glob("*.safetensors") if path.name[0] != ".")
    spaces: dict[tuple[str, Setting], FeatureSpace] = {}
    faults = []
    for key in keys:
        try:
            snapshot = read_snapshot(store.snapshot(key))
        except StorageError as error:
            faults.append((f"geometry/{key}.safetensors", f"expected {error.expected}, got {error.got}"))
            continue
        record = by_key.get(snapshot.units[0])
        if record is not None:  # otherwise it belongs to an earlier plan
            space = FeatureSpace(snapshot=snapshot, record=record)
            spaces.setdefault((space.model, space.setting), space)
    return list(spaces.values()), faults


def same_networks(spaces: Sequence[FeatureSpace]) -> list[list[FeatureSpace]]:
    """Group spaces of one board whose clean features are the same: heads on one network.

    Views without features are left out.
    """
    groups: list[list[FeatureSpace]] = []
    for space in spaces:
        if space.snapshot.cloud is None:
            continue
        own = next((group for group in groups if _same(group[0], space)), None)
        if own is None:
            groups.append([space])
        else:
            own.append(space)
    return groups


def _same(first: FeatureSpace, second: FeatureSpace) -> bool:
    one, other = first.snapshot.cloud, second.snapshot.cloud
    if one is None or other is None or first.setting != second.setting or one.classes != other.classes:
        return False
    return _equal(one.index, other.index) and _equal(one.clean_features, other.clean_features)


def _equal(one: NDArray[Any], other: NDArray[Any]) -> bool:
    import numpy as np

    # The same network on the same device gives equal features; different ones are of another network.
    return one.shape == other.shape and bool(np.allclose(one, other, rtol=1e-4, atol=1e-5, equal_nan=True))


@dataclass(frozen=True, slots=True)
class PrincipalPlane:
    """Two directions through the middle of some features.

    Attributes:
        middle: (D,) the mean.
        axes: (2, D) orthonormal rows; the second is zero where features vary in one direction only.
        shares: share of the variance along each, from 0 to 1.
    """

    middle: Rows
    axes: Rows
    shares: tuple[float, float]

    def project(self, features: Rows) -> Rows:
        """Return the positions (M, 2) of features (M, D) in the plane; NaN for a feature with NaN."""
        import numpy as np

        good = np.isfinite(features).all(axis=1)
        places = np.full((len(features), 2), np.nan)
        places[good] = (features[good].astype("float64") - self.middle) @ self.axes.T
        return places


def principal_plane(features: Rows) -> PrincipalPlane | None:
    """Return the principal plane of features (M, D); None if there is none.

    Rows that are not finite are left out. There is no plane for fewer than two rows, or if all are equal.
    """
    import numpy as np

    good = features[np.isfinite(features).all(axis=1)].astype("float64")
    if len(good) < 2 or not (good != good[0]).any():
        return None
    # The largest absolute feature as unit: squares of huge ones would overflow.
    scale = float(np.abs(good).max())
    middle = (good / scale).mean(axis=0)
    offsets = good / scale - middle
    # Eigenvectors of the smaller of the two products: a tenth of the time of singular values.
    across = len(offsets) < offsets.shape[1]
    values, vectors = np.linalg.eigh(offsets @ offsets.T if across else offsets.T @ offsets)
    total = float(values.clip(0).sum())
    axes, shares = np.zeros((2, good.shape[1])), [0.0, 0.0]
    for at, (value, vector) in enumerate(zip(values[:-3:-1], vectors.T[:-3:-1], strict=True)):
        if value <= _NOTHING * total:
            continue  # all points lie on the first axis
        axis = vector @ offsets if across else vector
        axis = axis / np.linalg.norm(axis)
        # An axis has no sign of its own: its largest entry is made positive.
        axes[at], shares[at] = axis * np.sign(axis[np.abs(axis).argmax()]), float(value) / total
    return PrincipalPlane(middle * scale, axes, (shares[0], shares[1]))
