"""Networks that classify each image by its features and one template: those of `knn` and `kernel_density`."""

from __future__ import annotations

from functools import partial
from typing import cast

from torch import Tensor, nn

from model_zoo.graph.carried import Linear
from model_zoo.graph.coverage import check_template
from model_zoo.graph.kernel_density import class_log_density
from model_zoo.graph.knn import nearest_votes, vote_margins_over
from model_zoo.graph.soft_neighbours import bandwidth_squared, density_margins_over, log_posteriors
from model_zoo.heads.feature_network import feature_network
from model_zoo.heads.graph_network import clean_features, guarded
from model_zoo.heads.sources import StraightThrough
from model_zoo.last_layer import Branched
from robench.data.images import ImageSet
from robench.model.interface import GradientSource, Memory, Neighbourhood, OutputKind
from robench.model.tested_network import TestedNetwork
from robench.types import Features, Images, Labels, Outputs, PointLabels, Points


class TemplateNetwork(nn.Module):
    """Images to outputs by features and one template, each image alone.

    Args:
        branches: features and linear branch; shared, not copied, in a wrapper of their own.
        template: clean training images; their features are computed once, here.
        classes: number of classes K.
        device: where the network is and the template shall be.
        reach: number of neighbours on which an answer mostly depends.

    Raises:
        InputError: the template cannot be used.
    """

    points: Tensor
    labels: Tensor
    output = OutputKind.SIMPLEX
    """The kind of one row of the outputs."""
    slack = 0.0
    """What a bound of a margin must exceed."""

    def __init__(
        self, branches: Branched, template: ImageSet, *, classes: int, device: str, reach: int
    ) -> None:
        super().__init__()
        self.branches = branches if isinstance(branches, TestedNetwork) else TestedNetwork(branches)
        self.classes, self.reach = classes, reach
        points, labels = clean_features(branches, template, device), template.labels.to(device)
        check_template(labels, classes, points)
        self.register_buffer("points", points, persistent=False)
        self.register_buffer("labels", labels, persistent=False)
        self.training = branches.training  # only this flag: the mode of the shared network is not changed

    def answer(self, z: Features, points: Points) -> Outputs:
        """Map finite features (B, D) among template points (T, D) to outputs (B, K)."""
        raise NotImplementedError

    def margins_over(self, low: Features, high: Features, y: Labels, linear: Linear | None = None) -> Outputs:
        """Return lower bounds (B, K) of the true class's output minus each other's; see `BoundedHead`."""
        raise NotImplementedError

    def facts(self) -> dict[str, float]:
        """Return its facts for the model's details, beside options and template."""
        return {}

    def classify(self, z: Features, moved: Points | None = None) -> Outputs:
        """Map features (B, D) to outputs (B, K); a row of features with NaN or infinity to NaN.

        Features `moved` (T, D), if given, replace those of the template.
        """
        return guarded(z, lambda finite: self.answer(finite, self.points if moved is None else moved))

    def forward(self, x: Images) -> Outputs:
        """Map images (B, C, H, W) in [0, 1] to outputs (B, K)."""
        return self.classify(self.branches.features(x))

    def feature_network(self) -> nn.Module:
        """Return the network from images (B, C, H, W) to features (B, D); see `robench.bounds.heads`."""
        return feature_network(self.branches)


class KNNNetwork(TemplateNetwork):
    """The vote of the k nearest template images (`model_zoo.graph.knn`), `reach` of them; gradient 0."""

    def answer(self, z: Features, points: Points) -> Outputs:
        """Map finite features (B, D) to u (B, K) on the simplex."""
        votes = nearest_votes(z.detach(), points, self.labels, classes=self.classes, k=self.reach)
        return votes.to(z.dtype)

    def margins_over(self, low: Features, high: Features, y: Labels, linear: Linear | None = None) -> Outputs:
        """Return lower bounds (B, K) of u_y minus each other u over boxes of features (B, D), float64."""
        points, labels = self.points.cpu(), self.labels.cpu()
        return vote_margins_over(
            low, high, y, points, labels, classes=self.classes, k=self.reach, linear=linear
        )


class KernelDensityNetwork(TemplateNetwork):
    """Class densities over the whole template (`model_zoo.graph.soft_neighbours`).

    Args:
        branches: as `TemplateNetwork`.
        template: as there.
        classes: as there.
        device: as there.
        reach: the neighbour of template points that sets the bandwidth if none is given.
        bandwidth: h, or None.
    """

    output = OutputKind.LOG_PROBABILITIES
    slack = 1e-3  # outputs are float32

    def __init__(
        self,
        branches: Branched,
        template: ImageSet,
        *,
        classes: int,
        device: str,
        reach: int,
        bandwidth: float | None,
    ) -> None:
        super().__init__(branches, template, classes=classes, device=device, reach=reach)
        self.h2 = bandwidth_squared(self.points, reach) if bandwidth is None else bandwidth**2

    def facts(self) -> dict[str, float]:
        """Return the bandwidth h."""
        return {"h": self.h2**0.5}

    def answer(self, z: Features, points: Points) -> Outputs:
        """Map finite features (B, D) to log probabilities (B, K)."""
        return log_posteriors(z, points, self.labels, classes=self.classes, h2=self.h2)

    def margins_over(self, low: Features, high: Features, y: Labels, linear: Linear | None = None) -> Outputs:
        """Return lower bounds (B, K) of log p_y minus each other over boxes of features (B, D), float64."""
        points, labels = self.points.cpu(), self.labels.cpu()
        return density_margins_over(
            low, high, y, points, labels, classes=self.classes, h2=self.h2, linear=linear
        )


def template_sources(net: TemplateNetwork, *, tau: float) -> dict[str, GradientSource]:
    """Return the gradient sources, in order: `exact` only if the outputs have a gradient.

    Args:
        net: the model's network.
        tau: temperature of the `kernel` source.
    """
    linear = net.branches.linear

    def through_linear(x: Images) -> tuple[Outputs, Outputs]:
        z = net.branches.features(x)
        assert linear is not None  # the sources that call this exist only then
        return cast("Outputs", linear(z)), net.classify(z.detach())

    def straight_through(x: Images) -> tuple[Outputs, Outputs]:
        logits, own = through_linear(x)
        return cast("Outputs", StraightThrough.apply(own, logits)), own

    def exact(x: Images) -> tuple[Outputs, Outputs]:
        outputs = net(x)
        return outputs, outputs

    def kernel(x: Images) -> tuple[Outputs, Outputs]:
        z = net.branches.features(x)
        return density(net, z, tau), net.classify(z.detach())

    sources = [GradientSource("kernel", kernel, OutputKind.LOGITS)]
    if isinstance(net, KernelDensityNetwork):
        sources = [GradientSource("exact", exact, net.output), *sources]
    if linear is not None:
        first = [GradientSource("linear", through_linear, OutputKind.LOGITS, template_free=True)]
        if isinstance(net, KNNNetwork):
            first = [GradientSource("straight_through", straight_through, net.output), *first]
        sources = [*first, *sources]
    return {source.name: source for source in sources}


def density(net: TemplateNetwork, z: Features, tau: float) -> Outputs:
    """Return class log-densities (B, K) with each image's own scale; NaN where features are not finite."""

    def of(finite: Features) -> Outputs:
        n = min(net.reach + 1, len(net.points))
        return class_log_density(finite, net.points, net.labels, classes=net.classes, n=n, tau=tau)

    return guarded(z, of)


def memory_of(template: ImageSet, points: Points, labels: PointLabels) -> Memory:
    """Return the images of a template with their features (T, D) and labels (T,), on one device."""
    images = template.batch(slice(None))[0].to(points.device)
    return Memory(images=images, points=points, labels=labels)


def template_neighbourhood(net: TemplateNetwork, template: ImageSet) -> Neighbourhood:
    """Return what an attacker with full knowledge sees: features, head and template."""
    return Neighbourhood(
        features=net.branches.features,
        classify=net.classify,
        density=partial(density, net),
        linear=net.branches.linear,
        memory=partial(memory_of, template, net.points, net.labels),
        reach=net.reach,
    )
