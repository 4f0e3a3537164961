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
        info: what it is.
        offers: the gradient sources its models can have, so that a configuration can be checked early.
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
            seed: the only source of chance.
            device: where the network is moved to.
            details: facts to put into the model's details, beside the head's own.
            output: what the network's own outputs are, `logits`, `log_probabilities` or `simplex`.

        Raises:
            InputError: the data cannot serve as a template, or the network has no linear layer last.
            ConfigError: the network lacks what the head needs.
        """
        ...
