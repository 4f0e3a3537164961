"""A WNLL network that draws a new template for every batch, as the authors' public code does."""

from __future__ import annotations

from dataclasses import dataclass, replace

from torch import Tensor

from model_zoo.graph.settings import Graph
from model_zoo.heads.graph_network import clean_features
from model_zoo.heads.templates import draw_templates
from model_zoo.heads.wnll_network import WNLLNetwork
from model_zoo.last_layer import Branched
from robench.data.images import ImageSet, crop_flip
from robench.errors import InputError
from robench.model.batch_identity import current_batch
from robench.randomness import Randomness, seed_from
from robench.types import PointLabels, Points

_TRIES = 100


@dataclass(frozen=True, slots=True)
class BatchTemplate:
    """The template of one batch: its images, and their features (T, D) and labels (T,) on the device."""

    images: ImageSet
    points: Tensor
    labels: Tensor


class RedrawnNetwork(WNLLNetwork):
    """Images to class probabilities, interpolated in a joint graph with a template drawn for their batch.

    `robench.model.batch_identity` gives the identity of the batch; without one, a fixed template is used,
    drawn once. The state_dict is that of the network, because the training images and the seed determine the
    templates.

    Args:
        branches: features and linear branch; shared, not copied.
        pool: the training images to draw from.
        size: images per template T.
        seed: seed of the draws, beside the batch's key.
        classes: number of classes K.
        graph: the graph's settings.
        device: where the network is and the templates shall be.
        crops: crop and mirror the images of each template at random, as CIFAR's training images are.

    Raises:
        InputError: a template cannot be drawn.
    """

    def __init__(
        self,
        branches: Branched,
        pool: ImageSet,
        *,
        size: int,
        seed: int,
        classes: int,
        graph: Graph,
        device: str,
        crops: bool = False,
    ) -> None:
        template = draw_random(pool, size, classes=classes, seed=seed)
        template = cropped(template, seed=seed) if crops else template
        super().__init__(
            branches, [template], classes=classes, graph=graph, joint=True, rule="majority", device=device
        )
        self._pool, self._size, self._seed, self._fixed = pool, size, seed, template
        self._crops = crops

    @property
    def batch_template(self) -> BatchTemplate:
        """The template of the current batch; drawn, and its features computed, once for each batch."""
        batch = current_batch()
        if batch is None:
            return BatchTemplate(self._fixed, *super().points)
        return batch.once(self, lambda: self._draw(batch.key))

    @property
    def points(self) -> tuple[Points, PointLabels]:
        """Features (T, D) and labels (T,) of the batch's template."""
        template = self.batch_template
        return template.points, template.labels

    def _draw(self, key: int) -> BatchTemplate:
        seed = seed_from(self._seed, key)
        images = draw_random(self._pool, self._size, classes=self.classes, seed=seed)
        images = cropped(images, seed=seed) if self._crops else images
        points, labels = super().points
        features = clean_features(self.branches, images, str(points.device))
        return BatchTemplate(images, features.to(points.dtype), images.labels.to(labels.device))


def cropped(template: ImageSet, *, seed: int) -> ImageSet:
    """Return the template with its images cropped (padding 4) and mirrored at random, drawn per image."""
    images, _ = template.batch(slice(None))
    return replace(template, images=crop_flip(images, Randomness(seed, template.indices, ("template",))))


def draw_random(pool: ImageSet, size: int, *, classes: int, seed: int) -> ImageSet:
    """Draw a template of `size` images purely at random, again and again until it holds every class.

    Raises:
        InputError: the pool is too small or not the training split, or a hundred draws missed a class.
    """
    for attempt in range(_TRIES):
        try:
            (images,) = draw_templates(
                pool, size, votes=1, balanced=False, classes=classes, seed=seed_from(seed, attempt)
            )
        except InputError as error:
            refusal = error
        else:
            return images
    raise refusal
