"""Bounds of a classifier on features: a box around the features of each image, and bounds of its head on it.

The network up to the features is bounded like any other; a head that classifies each image alone bounds the
margins of the true class for all features in a box (`BoundedHead`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from robench.attack.threat import Goal, ThreatModel
from robench.bounds.admissible import searched
from robench.bounds.agreement import Differences, check_agreement, differences
from robench.bounds.graph import Graph
from robench.bounds.inputs import checked_images, checked_labels
from robench.bounds.network import ELEMENTS, Bounded, Effort, bounded
from robench.bounds.region import Region
from robench.bounds.rounding import UNIT
from robench.bounds.rows import Rows
from robench.bounds.tracing import traced
from robench.errors import ConfigError
from robench.model.evaluation import evaluation_mode
from robench.model.interface import Coupling, Model, predictions
from robench.model.tested_network import TestedNetwork
from robench.types import AnyLabels, Features, Images, Labels, Mask, Outputs, PerSample

Linear = Callable[[Tensor, int], Tensor]
"""Lower bounds (N,) of `a z` for rows a (N, D), over the features z that an image (its number) can have."""


@runtime_checkable
class BoundedHead(Protocol):
    """A network that classifies each image by its features, and can bound its outputs over a box."""

    def feature_network(self) -> nn.Module:
        """Return the network from images (B, C, H, W) to features (B, D); nothing is copied.

        Raises:
            ConfigError: outputs depend on more than an image's own features.
        """
        ...

    @property
    def slack(self) -> float:
        """The least margin, because the head computes in float32; 0 if its bounds include that error."""
        ...

    def margins_over(self, low: Features, high: Features, y: Labels, linear: Linear | None = None) -> Outputs:
        """Return lower bounds (B, K) of the true class's output minus each other's over boxes of features.

        Args:
            low: (B, D) lowest features, float64.
            high: (B, D) highest features, float64.
            y: (B,) true classes; their own column is 0.
            linear: lower bounds of linear functions of the features of an image; None to use only the box.
        """
        ...


def head_of(model: Model) -> BoundedHead | None:
    """Return the head of a classifier by features; None for any other model."""
    net = model.net.module if isinstance(model.net, TestedNetwork) else model.net
    return net if isinstance(net, BoundedHead) else None


@dataclass(frozen=True)
class HeadCertifier:
    """Bounds the margins of a classifier by features under one threat; see `robench.bounds.certifier`.

    Attributes:
        model: what is certified.
        threat: untargeted, with a finite radius.
        shape: (C, H, W) of its images.

    Raises:
        ConfigError: answers depend on a batch or on chance, the threat is targeted or unbounded, or a layer
            before the features has no bound; it is named.
    """

    model: Model
    threat: ThreatModel
    shape: tuple[int, ...]

    def __post_init__(self) -> None:
        """Read the network, so that what cannot be bounded is refused before any work."""
        where, model = f"model {self.model.name!r}", self.model
        if model.coupling is Coupling.JOINT or model.random or model.rejects:
            expected = "a head that gives each image alone one fixed answer"
            got = "answers that depend on other images or on chance, or rejections"
            raise ConfigError(where=where, expected=expected, got=got, do="Use `protocol: independent`")
        if self.threat.goal is not Goal.UNTARGETED:
            raise ConfigError(where="goal", expected="untargeted", got=str(self.threat.goal))
        Region.around(torch.zeros(0, *self.shape), self.threat)
        _ = self.exact

    @cached_property
    def head(self) -> BoundedHead:
        """The head."""
        head = head_of(self.model)
        assert head is not None
        return head

    @cached_property
    def features(self) -> nn.Module:
        """The network up to the features."""
        return self.head.feature_network()

    @cached_property
    def exact(self) -> Graph:
        """The same in float64."""
        return traced(self.features, self.shape)

    @cached_property
    def rough(self) -> Graph:
        """The same in float32."""
        return self.exact.to(torch.float32)

    @cached_property
    def reach(self) -> ThreatModel:
        """The threat to search in."""
        return searched(self.threat, self.shape)

    def _differences(self, x: Images) -> Differences:
        return differences(self.exact, self.features, x, self.reach)

    def checked(self, x: Images, y: AnyLabels) -> tuple[Images, Labels]:
        """Return images (B, C, H, W) in float32 and labels (B,) on the CPU; graph and network agree on them.

        Args:
            x: images (B, C, H, W) inside of the threat's box.
            y: labels (B,), whole numbers from 0 to K - 1.

        Raises:
            InputError: images or labels cannot be used.
            ConfigError: the network computes something else than was read from it.
        """
        x = checked_images(x, self.shape, self.threat.bounds)
        y = checked_labels(y, len(x), self.model.classes)
        check_agreement(self._differences(x))
        return x, y

    @torch.no_grad()
    def right(self, x: Images, y: Labels) -> Mask:
        """Tell which images the model itself gets right, each asked about alone, (B,)."""
        if not len(x):
            return torch.zeros(0, dtype=torch.bool)
        with evaluation_mode(self.model.net):
            outputs = [self.model.net(x[i : i + 1].float().to(self.model.device)) for i in range(len(x))]
        return predictions(torch.cat(outputs), self.model.output).cpu() == y

    def slack(self, x: Images) -> PerSample:
        """Return the least margin, (B,); the box already includes float32 errors of the features."""
        return torch.full((len(x),), self.head.slack, dtype=torch.float64)

    def bounded(self, x: Images, effort: Effort) -> Bounded:
        """Return bounds of every node up to the features around images (B, C, H, W)."""
        return bounded(self.exact, self.rough, Region.around(x, self.threat), effort)

    @torch.no_grad()
    def reachable(self, x: Images, effort: Effort) -> tuple[Features, Features, Linear | None]:
        """Return lowest and highest features (B, D) over each image's region, and bounds of linear functions.

        They include the errors of float32, as eight times the largest difference on the image and near it:
        measured, not proven.
        """
        within = self.bounded(x, effort)
        low, high = (side.flatten(1).clone() for side in within.intervals[self.exact.output])
        gaps = self._differences(x)
        room = 8 * gaps.apart + 2.0**-21 * gaps.output
        if not effort.crown:
            return low - room[:, None], high + room[:, None], None
        identity = torch.eye(low.shape[1], dtype=torch.float64)
        for i in range(len(x)):
            low[i] = torch.maximum(low[i], self._carried(within, identity, i))
            high[i] = torch.minimum(high[i], -self._carried(within, -identity, i))

        def linear(a: Tensor, image: int) -> Tensor:
            return self._carried(within, a, image) - room[image] * a.abs().sum(dim=1) * (1 + 1e-12)

        return low - room[:, None], high + room[:, None], linear

    def _carried(self, within: Bounded, a: Tensor, image: int) -> Tensor:
        """Return lower bounds (N,) of functions (N, D) of an image's features, by CROWN."""
        largest = max(side[0].numel() for side, _ in within.intervals)
        length, values = max(16, ELEMENTS // largest), [a.new_zeros(0)]
        output, exact = self.exact.output, within.backward
        for part in torch.split(a, length) if len(a) else ():
            owner = torch.full((len(part),), image)
            value = exact.lower(output, Rows(part, owner))[0]
            values.append(value - 4 * UNIT * value.abs())
        return torch.cat(values)

    def margins(self, x: Images, y: Labels, effort: Effort, *, batch: int = 20) -> Outputs:
        """Return lower bounds (B, K) of the true class's output minus each other's; inf for itself."""
        parts = [torch.zeros(0, self.model.classes, dtype=torch.float64)]
        for i in range(0, len(x), batch):
            images, labels = x[i : i + batch], y[i : i + batch]
            low, high, linear = self.reachable(images, effort)
            margins = self.head.margins_over(low, high, labels, linear)
            parts.append(margins.scatter(1, labels[:, None], torch.inf))
        return torch.cat(parts)
