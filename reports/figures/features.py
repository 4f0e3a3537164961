"""Features of two classes in two principal components, clean and attacked, for every head on a network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from reports.board.feature_spaces import FeatureSpace, PrincipalPlane, principal_plane, same_networks
from reports.figures.selection import OfRunFolders, spaces_of_board
from reports.figures.style import COLOURS, MARKERS, check_suffix, save, shown, styled
from reports.text.escape import visible
from robench.errors import ConfigError
from robench.recipe import Info
from robench.record.feature_snapshot import Cloud

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Features(OfRunFolders):
    """A row for every network: its clean features, and beside them what the worst attack on each head made.

    The plane is that of the clean features and the same in the whole row. Filled marks are images that the
    model gets right, hollow ones it gets wrong.
    """

    info: ClassVar[Info] = Info(
        title="Features in two principal components", paper="Wang & Osher 2019, arXiv:1907.06800, Fig. 8, 9"
    )

    def of_runs(self, folders: Sequence[Path], path: Path, *, board: str | None = None) -> Path:
        """Draw the board with that text in its title and write it to `path`; see `selection.spaces_of_board`.

        Raises:
            ConfigError: the folders keep no features, no board or several have that text, or another suffix.
        """
        check_suffix(path)
        spaces, names, title = spaces_of_board(folders, board)
        groups = same_networks(spaces)
        if not groups:
            reasons = {space.snapshot.reason for space in spaces} - {""}
            raise ConfigError(
                where=title,
                expected="run folders that keep features",
                got="; ".join(sorted(reasons)) or "none",
                do="The same `robench run` command adds what an older folder lacks",
            )
        save(self.draw(groups, names), path)
        return path

    def draw(
        self, groups: Sequence[Sequence[FeatureSpace]], names: Mapping[str, str], *, most: int | None = None
    ) -> Figure:
        """Return the figure of some networks.

        Args:
            groups: spaces that share their clean features; see `spaces.same_networks`.
            names: shown name of every model, by identity.
            most: most images of a class; None for all.

        Raises:
            ConfigError: the features of a network do not vary.
        """
        from matplotlib.figure import Figure

        wide = 1 + max(len(group) for group in groups)
        with styled():
            figure = Figure(figsize=(2.5 * wide, 2.45 * len(groups) + 0.45), layout="constrained")
            grid = figure.subplots(len(groups), wide, squeeze=False)
            for row, group in zip(grid, groups, strict=True):
                _row(list(row), group, names, most)
            handles = _legend([list(row) for row in grid], groups)
            figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), frameon=False)
        return figure


def _row(axes: list[Axes], group: Sequence[FeatureSpace], names: Mapping[str, str], most: int | None) -> None:
    clouds = [space.snapshot.cloud for space in group if space.snapshot.cloud]
    first = clouds[0]
    plane = principal_plane(first.clean_features)
    if plane is None:
        title = names.get(group[0].model, "")
        raise ConfigError(where=visible(title), expected="features that vary", got="equal ones")
    rows = _chosen(first, most)
    _scatter(axes[0], plane, first.clean_features, first, rows, right=None)
    axes[0].set_title("clean images", fontweight="normal", fontsize=8)
    axes[0].set_ylabel(f"PC 2 ({100 * plane.shares[1]:.0f} % of variance)", fontsize=7)
    for one, space, cloud in zip(axes[1:], group, clouds, strict=False):
        right = cloud.adversarial == cloud.label
        _scatter(one, plane, cloud.adversarial_features, cloud, rows, right=right)
        label = shown(space.record.attack.label)
        one.set_title(f"{shown(names[space.model])}\nafter {label}", fontweight="normal", fontsize=8)
        one.sharex(axes[0])
        one.sharey(axes[0])
        one.tick_params(labelleft=False)
    for one in axes[1 : 1 + len(clouds)]:
        one.autoscale()
    for one in axes[: 1 + len(clouds)]:
        one.tick_params(labelsize=7)
        one.set_xlabel(f"PC 1 ({100 * plane.shares[0]:.0f} % of variance)", fontsize=7)
    for one in axes[1 + len(clouds) :]:
        one.set_visible(False)


def _chosen(cloud: Cloud, most: int | None) -> NDArray[Any]:
    """Return which rows are drawn: the first ones of each class."""
    import numpy as np

    own = [np.flatnonzero(cloud.label == one)[:most] for one in cloud.classes]
    return np.concatenate(own)


def _scatter(
    axes: Axes,
    plane: PrincipalPlane,
    features: NDArray[Any],
    cloud: Cloud,
    rows: NDArray[Any],
    *,
    right: NDArray[Any] | None,
) -> None:
    """Draw one panel; without `right` every mark is filled."""
    import numpy as np

    places = plane.project(features)[rows]
    labels = cloud.label[rows]
    is_full = np.ones(len(labels), dtype=bool) if right is None else right[rows]
    for number, one in enumerate(cloud.classes):
        for full in (True, False):
            x, y = places[(labels == one) & (is_full == full)].T
            axes.plot(
                x,
                y,
                linestyle="",
                marker=MARKERS[2 * number],
                markersize=4.5,
                markeredgewidth=0.9,
                color=COLOURS[number],
                markerfacecolor=COLOURS[number] if full else "none",
            )


def _legend(grid: Sequence[Sequence[Axes]], groups: Sequence[Sequence[FeatureSpace]]) -> list[object]:
    """Return the text of the figure's legend; one for each group of rows with other classes."""
    from matplotlib.lines import Line2D

    wrong = "hollow: the model is wrong"
    blank = Line2D([], [], linestyle="", marker="o", color="#777777", markerfacecolor="none", label=wrong)
    firsts = [group[0] for group in groups]
    if len({_classes(space) for space in firsts}) == 1:
        return [*_handles(firsts[0]), blank]
    for row, space in zip(grid, firsts, strict=True):
        row[0].legend(handles=_handles(space), fontsize=6)
    return [blank]


def _classes(space: FeatureSpace) -> tuple[int, ...]:
    return space.snapshot.cloud.classes if space.snapshot.cloud else ()


def _handles(space: FeatureSpace) -> list[object]:
    from matplotlib.lines import Line2D

    return [
        Line2D(
            [],
            [],
            linestyle="",
            marker=MARKERS[2 * number],
            color=COLOURS[number],
            label=f"class {shown(space.record.dataset.class_name(one))}",
        )
        for number, one in enumerate(_classes(space))
    ]
