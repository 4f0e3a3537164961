"""What a WNLL stage computes once: the outputs of the backbone, frozen while the buffer is trained."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, cast

import torch
from torch import Tensor, nn

from robench.data.images import ImageSet
from robench.model.evaluation import evaluation_mode
from robench.model.interface import Model, Surrogate
from robench.randomness import borrowed_global_randomness
from robench.types import Images, Outputs

_BATCH = 250
_PROBE = 8
_SCALE = 1e-4  # largest relative difference between two batchings of one image: float32 rounding, generously


class Tail(nn.Module):
    """The buffer layer and the linear branch as a network of their own; its images are backbone outputs.

    Args:
        network: has both; they are shared, not copied.
    """

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.buffer, self.linear = network.buffer, network.linear
        self.training = network.training  # only the flag

    def forward(self, h: Outputs) -> Outputs:
        """Map backbone outputs (B, ...) to logits (B, K)."""
        return cast("Outputs", self.linear(self.buffer(h)))


class Trunk(nn.Module):
    """Everything of a network that lies below its buffer layer, found by watching what the buffer is given.

    Args:
        network: images (B, C, H, W) to logits, through its `buffer` and `linear`; shared, not copied.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.training = network.training  # only the flag

    def forward(self, x: Images) -> Outputs:
        """Map images (B, C, H, W) to backbone outputs (B, ...), with their gradient.

        A large batch goes through in pieces: what a piece needs for a moment only is freed before the next.
        """
        return torch.cat([self.watched(part)[0][-1] for part in torch.split(x, _BATCH)])

    def watched(self, x: Images) -> tuple[list[Tensor], Outputs]:
        """Return everything the buffer was given, and the network's logits."""
        caught: list[Tensor] = []
        buffer = cast("nn.Module", self.network.buffer)
        handle = buffer.register_forward_pre_hook(lambda _, inputs: caught.extend(inputs))
        try:
            return caught, self.network(x)
        finally:
            handle.remove()

    @torch.no_grad()
    def fixed(self, probe: Images) -> bool:
        """Tell whether an image has one backbone output for good, from which the logits follow.

        Not where the network is random (one of its modules says so, or it draws), where the backbone mixes
        the images of a batch, or where something beside buffer layer and linear branch comes after it. All
        is asked in evaluation mode, of a few images.
        """
        if any(getattr(part, "random", False) for part in self.network.modules()):
            return False
        with evaluation_mode(self.network):
            with borrowed_global_randomness(0):
                before = torch.get_rng_state()
                caught, logits = self.watched(probe)
                drawn = not torch.equal(before, torch.get_rng_state())
            if drawn or len(caught) != 1 or len(caught[0]) != len(probe):
                return False
            outputs = caught[0]
            with borrowed_global_randomness(1):
                again = self(probe)
                doubled = self(torch.cat([probe[:1], probe[:1]]))  # two, for batch-norm refuses one
            tolerance = _SCALE * float(outputs.abs().max())
            return (
                torch.equal(outputs, again)
                and bool(((outputs[:1] - doubled[:1]).abs() <= tolerance).all())
                and torch.equal(Tail(self.network)(outputs), logits)
            )


@dataclass(frozen=True, slots=True)
class Remembered:
    """Backbone outputs in place of images, on the CPU.

    Attributes:
        template: of the template half, and of the unlabelled images.
        learner: of the rows learned from; None where they change from step to step.
        order: rows of `learner` by ascending index.
    """

    template: ImageSet
    learner: ImageSet | None = None
    order: Tensor | None = None

    def batch(self, indices: Tensor) -> Outputs | None:
        """Return the outputs of the learner's images with these indices in the full split, if known."""
        if self.learner is None or self.order is None:
            return None
        wanted = indices.to(self.order.device)
        rows = self.order[torch.searchsorted(self.learner.indices[self.order], wanted)]
        return self.learner.images[rows]


@dataclass(slots=True)
class FrozenOutputs:
    """Computes the backbone outputs of the stage under way once, and forgets those of the stage before.

    Valid only from the first step of a WNLL stage to its last: in between, the backbone does not change.

    Attributes:
        network: features, buffer and linear branch.
        device: where the network is.
    """

    network: nn.Module
    device: str
    _asked: ImageSet | None = field(default=None, init=False)
    _known: Remembered | None = field(default=None, init=False)

    def of(self, template: ImageSet, learner: ImageSet | None) -> Remembered | None:
        """Return the outputs, or None where an image has none of its own; see `Trunk.fixed`.

        Args:
            template: images whose outputs never change; the stage is told by this very object.
            learner: rows learned from as they are; None where they are attacked or augmented first.
        """
        if self._asked is not template:
            self._asked, self._known = template, None
            trunk = Trunk(self.network)
            if trunk.fixed(template.batch(slice(0, _PROBE))[0].to(self.device)):
                self._known = self._computed(trunk, template, learner)
        return self._known

    def _computed(self, trunk: Trunk, template: ImageSet, learner: ImageSet | None) -> Remembered:
        outputs = self._outputs(trunk, template)
        if learner is None or len(set(learner.indices.tolist())) < len(learner):
            return Remembered(outputs)
        return Remembered(outputs, self._outputs(trunk, learner), learner.indices.argsort())

    @torch.no_grad()
    def _outputs(self, trunk: Trunk, images: ImageSet) -> ImageSet:
        with evaluation_mode(self.network), torch.autocast(torch.device(self.device).type, enabled=False):
            starts = range(0, len(images), _BATCH)
            parts = [trunk(images.batch(slice(s, s + _BATCH))[0].to(self.device)).cpu() for s in starts]
        return replace(images, images=torch.cat(parts))


class _Behind(nn.Module):
    def __init__(self, trunk: Trunk, head: nn.Module) -> None:
        super().__init__()
        self.trunk, self.head = trunk, head
        self.training = trunk.training  # only the flag

    def forward(self, x: Images) -> Outputs:
        return cast("Outputs", self.head(self.trunk(x)))


def behind(trunk: Trunk, model: Model) -> Model:
    """Return a model over backbone outputs as a model over images; its gradients go through the backbone.

    It comes without a neighbourhood: what it remembers is no images.

    Args:
        trunk: images to backbone outputs.
        model: takes backbone outputs for images.
    """

    def through(surrogate: Surrogate) -> Surrogate:
        return lambda x: surrogate(trunk(x))

    sources = {name: replace(s, surrogate=through(s.surrogate)) for name, s in model.sources.items()}
    return replace(model, net=_Behind(trunk, model.net), sources=sources, neighbourhood=None, features=None)
