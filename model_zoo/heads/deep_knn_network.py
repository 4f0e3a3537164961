"""The head `deep_knn` as a module, with its gradient sources and what an attacker can see of it."""

from __future__ import annotations

from functools import partial
from typing import Any, cast

import torch
from torch import Tensor, nn

from model_zoo.graph.coverage import check_template
from model_zoo.graph.deep_knn import conforming, layer_votes, with_rejection
from model_zoo.graph.kernel_density import class_log_density
from model_zoo.heads.graph_network import clean_features, guarded
from model_zoo.heads.layer_features import LayerFeatures
from model_zoo.heads.sources import StraightThrough
from model_zoo.heads.template_network import memory_of
from robench.data.images import ImageSet
from robench.model.interface import GradientSource, Neighbourhood, OutputKind
from robench.types import ClassCounts, Features, Images, Outputs, PerSample, Points


class DeepKNNNetwork(nn.Module):
    """Images to votes of the nearest template images in several layers (`model_zoo.graph.deep_knn`).

    Args:
        branches: the layers; shared, not copied.
        template: clean training images; their features are computed once, here.
        calibration: other training images, with their labels.
        classes: number of classes K.
        device: where the network is and the template shall be.
        k: neighbours in each layer.
        reject_below: credibility below which an image is rejected; 0 for never.

    Raises:
        InputError: the template cannot be used.
    """

    points: Tensor
    labels: Tensor
    calibration: Tensor

    def __init__(
        self,
        branches: LayerFeatures,
        template: ImageSet,
        calibration: ImageSet,
        *,
        classes: int,
        device: str,
        k: int,
        reject_below: float,
    ) -> None:
        super().__init__()
        self.branches, self.classes, self.k = branches, classes, k
        points, labels = _features(branches, template, device), template.labels.to(device)
        check_template(labels, classes, points)
        self.register_buffer("points", points, persistent=False)
        self.register_buffer("labels", labels, persistent=False)
        votes, _ = self.votes(_features(branches, calibration, device))
        own = votes.gather(1, calibration.labels.to(device)[:, None])[:, 0]
        self.register_buffer("calibration", own.sort().values, persistent=False)
        # between two whole numbers, so that no count is equal to it
        self.least = _ceiling(reject_below * len(calibration)) - 0.5 if reject_below else 0.0
        self.training = branches.training  # only this flag: the mode of the shared network is not changed

    def votes(self, z: Features, moved: Points | None = None) -> tuple[ClassCounts, Outputs]:
        """Return the votes (B, K) and u (B, K) of finite features (B, D); `moved` as in `classify`."""
        points = self.points if moved is None else moved
        parts, near = self.branches.split(z), self.branches.split(points)
        return layer_votes(parts, near, self.labels, classes=self.classes, k=self.k)

    def classify(self, z: Features, moved: Points | None = None) -> Outputs:
        """Map features (B, D) to u (B, K), or (B, K + 1) with rejection; a row that is not finite to NaN.

        Features `moved` (T, D), if given, replace those of the template.
        """

        def answer(finite: Features) -> Outputs:
            votes, u = self.votes(finite.detach(), moved)
            if self.least:
                u = with_rejection(u, conforming(votes.amax(1), self.calibration), self.least)
            return u.to(z.dtype)

        return guarded(z, answer)

    def forward(self, x: Images) -> Outputs:
        """Map images (B, C, H, W) in [0, 1] to u (B, K) on the simplex, (B, K + 1) with rejection."""
        return self.classify(self.branches.features(x))

    @torch.no_grad()
    def credibility(self, x: Images) -> PerSample:
        """Return the credibility (B,) of images (B, C, H, W): the largest p-value of a class, 0 to 1."""
        votes, _ = self.votes(self.branches.features(x))
        return conforming(votes.amax(1), self.calibration) / len(self.calibration)

    def density(self, z: Features, tau: float) -> Outputs:
        """Return the mean over layers of class log-densities (B, K); NaN where features are not finite."""

        def of(finite: Features) -> Outputs:
            n = min(self.k + 1, len(self.points))
            rows = [
                class_log_density(part, near, self.labels, classes=self.classes, n=n, tau=tau)
                for part, near in zip(
                    self.branches.split(finite), self.branches.split(self.points), strict=True
                )
            ]
            return torch.stack(rows).mean(0)

        return guarded(z, of)


def layer_sources(net: DeepKNNNetwork, *, tau: float, output: OutputKind) -> dict[str, GradientSource]:
    """Return the gradient sources, in order; the vote itself has a zero gradient.

    Args:
        net: the model's network.
        tau: temperature of the `kernel` source.
        output: what the network's own outputs are.
    """

    def linear(x: Images) -> tuple[Outputs, Outputs]:
        z, answer = net.branches.both(x)
        return answer, net.classify(z.detach())

    def straight_through(x: Images) -> tuple[Outputs, Outputs]:
        z, answer = net.branches.both(x)
        own = net.classify(z.detach())
        u = own[:, : net.classes]
        return cast("Outputs", StraightThrough.apply(u, answer)), own

    def kernel(x: Images) -> tuple[Outputs, Outputs]:
        z = net.branches.features(x)
        return net.density(z, tau), net.classify(z.detach())

    sources = [
        GradientSource("straight_through", straight_through, OutputKind.SIMPLEX),
        GradientSource("linear", linear, output, template_free=True),
        GradientSource("kernel", kernel, OutputKind.LOGITS),
    ]
    return {source.name: source for source in sources}


def layer_neighbourhood(net: DeepKNNNetwork, template: ImageSet) -> Neighbourhood:
    """Return what an attacker with full knowledge sees: all layers' features, head and template."""
    return Neighbourhood(
        features=net.branches.features,
        classify=net.classify,
        density=net.density,
        linear=None,
        memory=partial(memory_of, template, net.points, net.labels),
        reach=net.k,
    )


def _features(branches: LayerFeatures, images: ImageSet, device: str) -> Tensor:
    return clean_features(cast("Any", branches), images, device)  # it asks for `features` alone


def _ceiling(value: float) -> int:
    """Return the value rounded up to a whole number; a rounding error, as in 0.1 * 30, does not count."""
    return int(-(-(value - 1e-9) // 1))
