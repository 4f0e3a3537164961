"""Output heads: what turns a trained network into a model. No torch at import.

A head over a graph derives from `graph_head.GraphHead`, or `scaled_graph_head.ScaledGraphHead`, and has its
module in `laplacian_networks`; copy `gll`. One that compares images with a template derives from
`neighbours.TemplateRecipe`. `linear` is the head every network has.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from robench.recipe import Info

if TYPE_CHECKING:
    from torch import nn

    from robench.data.images import ImageSet
    from robench.model.interface import Model


class Head(Protocol):
    """The contract of a plugin in the group `robench.heads`: a frozen recipe.

    Attributes:
        info: title and paper of the head.
        offers: the gradient sources that its models can have, so that a configuration can be checked early.
    """

    info: ClassVar[Info]
    offers: ClassVar[tuple[str, ...]]

    def __call__(
        self,
        network: nn.Module,
        *,
        name: str,
        classes: int,
        training_data: Callable[[], ImageSet],
        seed: int,
        device: str,
        details: Mapping[str, Any],
        output: str = "logits",
    ) -> Model:
        """Put the head on a network.

        Args:
            network: images (B, C, H, W) in [0, 1] to outputs (B, K); it may be shared with other models, and
                keeps its weights, mode and keys.
            name: the model's name.
            classes: number of classes K.
            training_data: gives the training split; called only if needed.
            seed: seed of all random numbers.
            device: where the network is moved to.
            details: facts to add to the model's details, beside those of the head.
            output: what the network's own outputs are, `logits`, `log_probabilities` or `simplex`.

        Raises:
            InputError: the data cannot be used as a template, or the network does not end in a linear layer.
            ConfigError: the network lacks something that the head needs.
        """
        ...
