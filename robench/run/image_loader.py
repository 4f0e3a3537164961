"""Loads the images of a plan, and keeps the last ones in memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from robench.data.images import ImageSet
from robench.data.loading import load_data
from robench.plan.spec import DataSpec, content_hash
from robench.run.settings import Environment


@dataclass(slots=True)
class ImageLoader:
    """Loads the images of specifications; the last images stay in memory.

    Args:
        environment: the folder of data sets, and whether they may be downloaded.
        seed: seed of the plan.
    """

    environment: Environment
    seed: int
    _last: tuple[str, ImageSet] | None = None

    def __call__(self, spec: DataSpec) -> ImageSet:
        """Return the images of a specification."""
        key = content_hash(spec)
        if self._last is None or self._last[0] != key:
            root, download = self.environment.data_root, self.environment.download
            self._last = (key, load_data(spec, root=root, download=download, seed=self.seed))
        return self._last[1]

    def forget(self) -> None:
        """Free the images in memory."""
        self._last = None


@dataclass(slots=True)
class NotedLoad:
    """Loads a split, and notes that it was.

    Args:
        load: gives the images.

    Attributes:
        is_loaded: whether anybody asked.
    """

    load: Callable[[], ImageSet]
    is_loaded: bool = False

    def __call__(self) -> ImageSet:
        """Return the images."""
        self.is_loaded = True
        return self.load()
