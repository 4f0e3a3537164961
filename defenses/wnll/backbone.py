"""Cached outputs of the backbone, which is frozen while a WNLL stage trains the buffer layer."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, cast

import torch
from torch import Tensor, nn

from robench.data.images import ImageSet
from robench.model.evaluation import evaluation_mode
from robench.model.interface import Model, Surrogate
from robench.randomness import borrowed_global_randomness
from robench.types import Images, IntPerSample, Outputs, Values

_BATCH = 250
_PROBE = 8
_SCALE = 1e-4  # largest relative difference between two batchings of one image: float32 rounding, generously


class Tail(nn.Module):
    """The buffer layer and the linear branch as a separate network; its inputs are backbone outputs.

    Args:
        network: the network with both; they are shared, not copied.
    """

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.buffer, self.linear = network.buffer, network.linear
        self.training = network.training  # only the flag

    def forward(self, h: Values) -> Outputs:
        """Map backbone outputs (B, ...) to logits (B, K)."""
        return cast("Outputs", self.linear(self.buffer(h)))


class Backbone(nn.Module):
    """The part of a network below its buffer layer, found by recording the inputs of the buffer layer.

    Args:
        network: images (B, C, H, W) to logits, through its `buffer` and `linear`; shared, not copied.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.training = network.training  # only the flag

    def forward(self, x: Images) -> Values:
        """Map images (B, C, H, W) to backbone outputs (B, ...), with their gradient.

        A large batch is processed in pieces, so that temporary memory of a piece is freed before the next.
        """
        return torch.cat([self.buffer_inputs(part)[0][-1] for part in torch.split(x, _BATCH)])

    def buffer_inputs(self, x: Images) -> tuple[list[Values], Outputs]:
        """Return all inputs of the buffer for images (B, C, H, W), and the network's logits (B, K)."""
        inputs: list[Tensor] = []
        buffer = cast("nn.Module", self.network.buffer)
        handle = buffer.register_forward_pre_hook(lambda _, arguments: inputs.extend(arguments))
        try:
            return inputs, self.network(x)
        finally:
            handle.remove()

    @torch.no_grad()
    def has_fixed_outputs(self, probe: Images) -> bool:
        """Tell whether an image's backbone output is fixed and determines the logits.

        It is not if the network is random (one of its modules says so, or it draws numbers), if the backbone
        mixes the images of a batch, or if more than buffer layer and linear branch follow it. All is tested
        in evaluation mode, on a few images `probe` (B, C, H, W).
        """
        if any(getattr(part, "random", False) for part in self.network.modules()):
            return False
        with evaluation_mode(self.network):
            with borrowed_global_randomness(0):
                before = torch.get_rng_state()
                inputs, logits = self.buffer_inputs(probe)
                random = not torch.equal(before, torch.get_rng_state())
            if random or len(inputs) != 1 or len(inputs[0]) != len(probe):
                return False
            outputs = inputs[0]
            with borrowed_global_randomness(1):
                again = self(probe)
                pair = self(torch.cat([probe[:1], probe[:1]]))  # two, because batch-norm refuses one
            tolerance = _SCALE * float(outputs.abs().max())
            return (
                torch.equal(outputs, again)
                and bool(((outputs[:1] - pair[:1]).abs() <= tolerance).all())
                and torch.equal(Tail(self.network)(outputs), logits)
            )


@dataclass(frozen=True, slots=True)
class BackboneOutputs:
    """Backbone outputs instead of images, on the CPU.

    Attributes:
        template: of the template half, and of the unlabelled images.
        training_set: of the training rows; None if they change from step to step.
        order: rows of `training_set` by ascending index.
    """

    template: ImageSet
    training_set: ImageSet | None = None
    order: Tensor | None = None

    def batch(self, indices: IntPerSample) -> Outputs | None:
        """Return the outputs (B, ...) of training images by their indices in the full split, if known."""
        if self.training_set is None or self.order is None:
            return None
        sorted_indices = self.training_set.indices[self.order]
        rows = self.order[torch.searchsorted(sorted_indices, indices.to(self.order.device))]
        return self.training_set.images[rows]


@dataclass(slots=True)
class BackboneCache:
    """Computes the backbone outputs of one stage once, and frees those of the previous stage.

    Valid only from the first step of a WNLL stage to its last: in between, the backbone does not change.

    Attributes:
        network: features, buffer and linear branch.
        device: device of the network.
    """

    network: nn.Module
    device: str
    _template: ImageSet | None = field(default=None, init=False)
    _outputs: BackboneOutputs | None = field(default=None, init=False)

    def of(self, template: ImageSet, training_set: ImageSet | None) -> BackboneOutputs | None:
        """Return the outputs, or None if they are not fixed; see `Backbone.has_fixed_outputs`.

        Args:
            template: images (T, C, H, W) whose outputs never change; this object identifies the stage.
            training_set: training images (N, C, H, W) that are used unchanged; None if they are attacked or
                augmented first.
        """
        if self._template is not template:
            self._template, self._outputs = template, None
            backbone = Backbone(self.network)
            if backbone.has_fixed_outputs(template.batch(slice(0, _PROBE))[0].to(self.device)):
                self._outputs = self._compute(backbone, template, training_set)
        return self._outputs

    def _compute(
        self, backbone: Backbone, template: ImageSet, training_set: ImageSet | None
    ) -> BackboneOutputs:
        """Return the outputs (N, ...) of template and training images; the latter if indices are unique."""
        outputs = self._all_outputs(backbone, template)
        if training_set is None or len(set(training_set.indices.tolist())) < len(training_set):
            return BackboneOutputs(outputs)
        return BackboneOutputs(
            outputs, self._all_outputs(backbone, training_set), training_set.indices.argsort()
        )

    @torch.no_grad()
    def _all_outputs(self, backbone: Backbone, images: ImageSet) -> ImageSet:
        with evaluation_mode(self.network), torch.autocast(torch.device(self.device).type, enabled=False):
            starts = range(0, len(images), _BATCH)
            parts = [backbone(images.batch(slice(s, s + _BATCH))[0].to(self.device)).cpu() for s in starts]
        return replace(images, images=torch.cat(parts))


class _ThroughBackbone(nn.Module):
    def __init__(self, backbone: Backbone, head: nn.Module) -> None:
        super().__init__()
        self.backbone, self.head = backbone, head
        self.training = backbone.training  # only the flag

    def forward(self, x: Images) -> Outputs:
        """Map images (B, C, H, W) in [0, 1] to the head's outputs (B, K)."""
        return cast("Outputs", self.head(self.backbone(x)))


def through_backbone(backbone: Backbone, model: Model) -> Model:
    """Return a model over backbone outputs as a model over images; its gradients go through the backbone.

    It has no neighbourhood, because its nearest points would be backbone outputs, not images.

    Args:
        backbone: images to backbone outputs.
        model: a model whose inputs are backbone outputs.
    """

    def through(surrogate: Surrogate) -> Surrogate:
        return lambda x: surrogate(backbone(x))

    sources = {name: replace(s, surrogate=through(s.surrogate)) for name, s in model.sources.items()}
    return replace(
        model, net=_ThroughBackbone(backbone, model.net), sources=sources, neighbourhood=None, features=None
    )
