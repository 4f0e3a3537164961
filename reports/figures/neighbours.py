"""The nearest template images of attacked images in feature space, before and after."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from reports.board.feature_spaces import FeatureSpace
from reports.figures.selection import OfRunFolders, spaces_of_board
from reports.figures.style import COLOURS, check_suffix, save, shown, styled
from robench.errors import ConfigError
from robench.recipe import Info
from robench.record.feature_snapshot import Nearest

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

IMAGES = 6
"""About how many images the figure shows, all models together; at least one of each."""


_GAP = 0.1
"""Height of the space between images, in pictures."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Neighbours(OfRunFolders):
    """Two rows for every image: itself and its nearest template images, before the attack and after it.

    A frame shows the class of a neighbour: the image's own (solid blue), the one the model gives to the
    attacked image (dashed red), or another (dotted grey). Class and distance are written under each.
    """

    info: ClassVar[Info] = Info(
        title="Nearest template images in feature space", paper="Wang & Osher 2019, arXiv:1907.06800, Fig. 10"
    )

    def of_runs(self, folders: Sequence[Path], path: Path, *, board: str | None = None) -> Path:
        """Draw the board with that text in its title and write it to `path`; see `selection.spaces_of_board`.

        Raises:
            ConfigError: the folders keep no neighbours, no board or several have that text, or a bad suffix.
        """
        check_suffix(path)
        spaces, names, title = spaces_of_board(folders, board)
        graphs = [space for space in spaces if space.snapshot.nearest]
        if not graphs:
            raise ConfigError(
                where=title,
                expected="run folders that keep neighbours, of a model that remembers images (head wnll)",
                got="none",
                do="The same `robench run` command adds what an older folder lacks",
            )
        save(self.draw(graphs, names), path)
        return path

    def draw(self, spaces: Sequence[FeatureSpace], names: Mapping[str, str]) -> Figure:
        """Return the figure of some models that remember images; `names` by identity."""
        from matplotlib.figure import Figure

        each = max(1, IMAGES // len(spaces))
        rows = [
            (space, space.snapshot.nearest, at)
            for space in spaces
            if space.snapshot.nearest
            for at in range(min(each, len(space.snapshot.nearest.index)))
        ]
        columns = 1 + max(nearest.ids.shape[2] for _, nearest, _ in rows)
        with styled():
            figure = Figure(figsize=(0.85 * columns + 1.2, 2.2 * len(rows)), layout="constrained")
            heights = [1.0, 1.0, _GAP] * len(rows)
            grid = figure.subplots(len(heights), columns, squeeze=False, height_ratios=heights)
            for axes in grid[2::3].flat:
                axes.set_visible(False)
            for number, (space, nearest, at) in enumerate(rows):
                for when in (0, 1):
                    _row(list(grid[3 * number + when]), space, nearest, at, when, names[space.model])
        return figure


def _row(axes: list[Axes], space: FeatureSpace, nearest: Nearest, at: int, when: int, name: str) -> None:
    label, after = int(nearest.label[at]), int(nearest.adversarial[at])
    answer = after if when else int(nearest.clean[at])
    attack = shown(space.record.attack.label)
    _picture(axes[0], nearest.queries[at, when])
    index = int(nearest.index[at])
    axes[0].set_ylabel(
        f"after {attack}" if when else f"{shown(name)}\nimage {index}, class {_short(space, label)}",
        fontsize=7,
        rotation=0,
        ha="right",
        va="center",
    )
    axes[0].set_xlabel(f"says {_short(space, answer)}", fontsize=7, labelpad=2, fontweight="bold")
    for place, one in enumerate(axes[1:]):
        if place >= nearest.ids.shape[2]:
            one.set_visible(False)
            continue
        own = int(nearest.labels[at, when, place])
        _picture(one, nearest.pictures[nearest.picture[at, when, place]])
        colour, line = (
            (COLOURS[0], "-") if own == label else (COLOURS[1], "--") if own == after else ("#777777", ":")
        )
        for spine in one.spines.values():
            spine.set(visible=True, color=colour, linestyle=line, linewidth=2.0)
        distance = float(nearest.distances[at, when, place])
        one.set_xlabel(f"{_short(space, own)}   d {distance:.3g}", fontsize=7, labelpad=2)


def _picture(axes: Axes, picture: NDArray[Any]) -> None:
    """Show an image (C, H, W) uint8: grey for one channel, colour for three, else its first channel."""
    if len(picture) == 3:
        axes.imshow(picture.transpose(1, 2, 0), interpolation="nearest")
    else:
        axes.imshow(picture[0], cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    axes.set(xticks=[], yticks=[])
    axes.grid(visible=False)


def _short(space: FeatureSpace, label: int) -> str:
    name = shown(space.record.dataset.class_name(label))
    return name if len(name) <= 12 else f"{name[:10]}..."
