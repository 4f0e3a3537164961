"""A model and a threat, ready for bounds: the network is read once, and compared with the model first."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import nn

from robench.attack.threat import Goal, ThreatModel
from robench.bounds.admissible import searched
from robench.bounds.agreement import Differences, check_agreement, differences
from robench.bounds.graph import Graph
from robench.bounds.inputs import check_images, checked_images, checked_labels
from robench.bounds.network import Bounded, Effort, bounded, margin_bounds
from robench.bounds.region import Region
from robench.bounds.tracing import traced
from robench.errors import ConfigError
from robench.model.evaluation import evaluation_mode
from robench.model.interface import Coupling, Model, predictions
from robench.model.tested_network import TestedNetwork
from robench.types import AnyLabels, Images, Labels, Mask, Outputs, PerSample

EFFORTS = {
    "ibp": Effort(crown=False),
    "crown": Effort(),
    "alpha_crown": Effort(inner_steps=10, outer_steps=20),
}
"""Bounding methods, cheapest first; each is at least as tight as the previous one."""


@dataclass(frozen=True)
class Certifier:
    """Bounds the margins of one model under one threat.

    Attributes:
        model: the model; a plain network is taken as a model with logits.
        threat: untargeted, with a finite radius.
        shape: (C, H, W) of its images.

    Raises:
        ConfigError: the model's outputs depend on the batch or are random, it may reject, the threat is
            targeted or unbounded, or a layer has no bound; the layer is named.
    """

    model: Model
    threat: ThreatModel
    shape: tuple[int, ...]

    def __post_init__(self) -> None:
        """Read the network, so that a network without bounds is refused before any work."""
        where, model = f"model {self.model.name!r}", self.model
        if model.coupling is Coupling.JOINT or model.random or model.rejects or model.template:
            expected = "a network that gives each image alone one fixed answer"
            got = "answers that depend on other images, on chance or on a template, or rejections"
            raise ConfigError(where=where, expected=expected, got=got, do="Attack it instead")
        if self.threat.goal is not Goal.UNTARGETED:
            raise ConfigError(where="goal", expected="untargeted", got=str(self.threat.goal))
        Region.around(torch.zeros(0, *self.shape), self.threat)
        if self.exact.nodes[self.exact.output].shape != (model.classes,):
            got = f"{self.exact.nodes[self.exact.output].shape[0]}"
            raise ConfigError(where=where, expected=f"{model.classes} outputs, one for each class", got=got)

    @classmethod
    def of(cls, model: object, threat: ThreatModel, x: Images) -> Certifier:
        """Return a certifier for a model, or a plain network of logits, on images like x (B, C, H, W).

        Raises:
            ConfigError: neither a model nor a network, or one without bounds.
            InputError: x is not a batch of images.
        """
        check_images(x)
        shape = tuple(x.shape[1:])
        if isinstance(model, Model):
            return cls(model, threat, shape)
        if not isinstance(model, nn.Module):
            expected, do = "a Model, or a network that is a torch.nn.Module", "Wrap it in a module"
            raise ConfigError(where="model", expected=expected, got=type(model).__name__, do=do)
        classes = traced(model, shape).nodes[-1].shape[0]
        return cls(Model(name=type(model).__name__, net=model, classes=classes), threat, shape)

    @cached_property
    def exact(self) -> Graph:
        """The network in float64."""
        return traced(self.model.net, self.shape)

    @cached_property
    def rough(self) -> Graph:
        """The network in float32."""
        return self.exact.to(torch.float32)

    @cached_property
    def network(self) -> TestedNetwork:
        """The wrapper of the network."""
        net = self.model.net
        return net if isinstance(net, TestedNetwork) else TestedNetwork(net)

    @cached_property
    def reach(self) -> ThreatModel:
        """The threat for searches: projections in float32 are admissible, and no radius exceeds the box."""
        return searched(self.threat, self.shape)

    def checked(self, x: Images, y: AnyLabels) -> tuple[Images, Labels]:
        """Return images (B, C, H, W) in float32 and labels (B,) on the CPU; graph and network agree on them.

        Args:
            x: images (B, C, H, W) inside the threat's box.
            y: labels (B,), integers from 0 to K - 1.

        Raises:
            InputError: images outside the box or of another shape or type, or invalid labels.
            ConfigError: the network computes something else than its graph.
        """
        x = checked_images(x, self.shape, self.threat.bounds)
        y = checked_labels(y, len(x), self.model.classes)
        check_agreement(self._differences(x))
        return x, y

    def _differences(self, x: Images) -> Differences:
        return differences(self.exact, self.network, x, self.reach)

    @torch.no_grad()
    def answers(self, x: Images) -> Labels:
        """Return the model's own predictions for images, each in its own pass, (B,)."""
        with evaluation_mode(self.model.net):
            outputs = [self.network(x[i : i + 1].float().to(self.model.device)) for i in range(len(x))]
        if not outputs:
            return torch.zeros(0, dtype=torch.int64)
        return predictions(torch.cat(outputs), self.model.output).cpu()

    def right(self, x: Images, y: Labels) -> Mask:
        """Tell which images the model itself gets right, (B,)."""
        return self.answers(x) == y

    def slack(self, x: Images) -> PerSample:
        """Return the least margin for which the model, which computes in float32, agrees, (B,).

        Eight times the largest difference between its outputs and the real ones on each image and on points
        near it, and at least eight roundings of its largest output: measured, not proven. Bounds themselves
        are valid for real numbers.
        """
        gaps = self._differences(x)
        size = gaps.output
        if self.exact.ending:  # probabilities that differ by less than a rounding error are tied
            size = torch.maximum(gaps.scores, torch.ones_like(size)) * 2
        return 8 * gaps.apart + 2.0**-21 * size

    def bounded(self, x: Images, effort: Effort) -> Bounded:
        """Return bounds of every node around images (B, C, H, W)."""
        return bounded(self.exact, self.rough, Region.around(x, self.threat), effort)

    def margins(self, x: Images, y: Labels, effort: Effort, *, batch: int = 20) -> Outputs:
        """Return lower bounds (B, K) of the true class's output minus each other's; inf for itself.

        Slopes that are best for tighter bounds inside of the network are not always the usual ones, so where
        slopes are optimised the better of both is taken.
        """
        pieces = []
        for i in range(0, len(x), batch):
            part, labels = x[i : i + batch], y[i : i + batch]
            margins = margin_bounds(self.bounded(part, effort), labels, effort)
            if effort.inner_steps or effort.outer_steps:
                plain = Effort()
                margins = torch.maximum(margins, margin_bounds(self.bounded(part, plain), labels, plain))
            pieces.append(margins.scatter(1, labels[:, None], torch.inf))
        return torch.cat(pieces) if pieces else torch.zeros(0, self.model.classes, dtype=torch.float64)


def lower_bounds(
    model: Model | nn.Module, x: Images, y: AnyLabels, threat: ThreatModel, *, method: str = "crown"
) -> PerSample:
    """Return a lower bound (B,) of the smallest margin of the true class over each image's region.

    If it is positive, no image that the judge admits changes the prediction. The margin is of the outputs
    before a final softmax.

    Args:
        model: a model, or a plain network of logits.
        x: images (B, C, H, W) in the box.
        y: their classes (B,).
        threat: norm, radius and box.
        method: `ibp`, `crown` or `alpha_crown`, each at least as tight as the previous one.

    Raises:
        ConfigError: the method does not exist, or the model or the threat has no bounds; the layer is named.
        InputError: images or labels cannot be used.
    """
    if method not in EFFORTS:
        raise ConfigError(where="method", expected=f"one of {', '.join(EFFORTS)}", got=repr(method))
    certifier = Certifier.of(model, threat, x)
    x, y = certifier.checked(x, y)
    return certifier.margins(x, y, EFFORTS[method]).amin(dim=1)
