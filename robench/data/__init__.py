"""Images and labels in memory, checked once, and how a plan's data sets are loaded."""

from __future__ import annotations

from typing import TYPE_CHECKING

from robench.faces import face

if TYPE_CHECKING:
    from robench.data.images import DatasetRecipe as DatasetRecipe
    from robench.data.images import ImageSet as ImageSet
    from robench.data.images import check_coverage as check_coverage
    from robench.data.images import check_images as check_images
    from robench.data.images import check_labels as check_labels
    from robench.data.images import crop_flip as crop_flip
    from robench.data.images import image_set as image_set
    from robench.data.loading import load_data as load_data

__getattr__, __dir__, __all__ = face(__name__, __file__)
