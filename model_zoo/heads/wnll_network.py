"""The WNLL head as a module: features of a network, interpolated from templates (WNLL.md, section 1, 2)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from model_zoo.graph.carried import Linear
from model_zoo.graph.coverage import check_features, check_template
from model_zoo.graph.independent import PreparedTemplate, interpolate_independent, prepare_template
from model_zoo.graph.interpolation import Interpolation, interpolate
from model_zoo.graph.interval_vote import share_margins, vote_margins
from model_zoo.graph.settings import Graph
from model_zoo.graph.voting import vote_independent
from model_zoo.last_layer import Branched, evaluating
from model_zoo.network import Network
from robench.data.images import ImageSet
from robench.errors import ConfigError
from robench.model.out_of_memory import FittingBatches
from robench.model.tested_network import TestedNetwork
from robench.types import Features, Labels, Outputs

_BATCH = 250


class Template(nn.Module):
    """Features of clean template images, as buffers that follow the module from device to device.

    They are left out of the state_dict: the network's weights and the images give them.

    Args:
        features: (T, D), without gradient.
        labels: (T,) int64.
        classes: number of classes.
        graph: the graph's settings.
        joint: spare the search among the template's own points, which a joint graph does anyway.
    """

    def __init__(self, features: Tensor, labels: Tensor, *, classes: int, graph: Graph, joint: bool) -> None:
        super().__init__()
        self.classes, self.graph = classes, graph
        if joint:
            check_template(labels, classes, features)
            buffers = {"features": features, "labels": labels}
        else:
            prepared = prepare_template(features, labels, classes=classes, graph=graph)
            names = ("features", "labels", "one_hot", "radius2", "inner2", "outer2")
            buffers = {name: getattr(prepared, name) for name in names}
        for name, tensor in buffers.items():
            self.register_buffer(name, tensor, persistent=False)

    @property
    def prepared(self) -> PreparedTemplate:
        """The template as the independent protocol wants it; a joint one has none."""
        return PreparedTemplate(
            features=self.get_buffer("features"),
            labels=self.get_buffer("labels"),
            one_hot=self.get_buffer("one_hot"),
            classes=self.classes,
            graph=self.graph,
            radius2=self.get_buffer("radius2"),
            inner2=self.get_buffer("inner2"),
            outer2=self.get_buffer("outer2"),
        )


class FeatureNetwork(nn.Module):
    """Images to features: a network without its last layer, shared and not copied."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network
        self.training = network.training  # only the flag

    def forward(self, x: Tensor) -> Features:
        """Map images (B, C, H, W) to features (B, D)."""
        features: Features = self.network.features(x)
        return features


def _on_the_cpu(prepared: PreparedTemplate) -> PreparedTemplate:
    return replace(
        prepared,
        features=prepared.features.cpu(),
        labels=prepared.labels.cpu(),
        one_hot=prepared.one_hot.cpu(),
        radius2=prepared.radius2.cpu(),
        inner2=prepared.inner2.cpu(),
        outer2=prepared.outer2.cpu(),
    )


class WNLLNetwork(nn.Module):
    """Images to class probabilities, interpolated on a graph over features.

    The template's features are computed once, here: make a new one after the network's weights change.

    Args:
        branches: features and linear branch; shared, not copied, and put behind a door of their own.
        templates: clean training images; one, or several that vote.
        classes: number of classes K.
        graph: the graph's settings.
        joint: put the whole batch into one graph with the (one) template, rather than each image alone.
        rule: how several templates are combined, `majority` or `mean`.
        device: where the network is and the templates shall be.
        unlabelled: training images that join every joint graph without a label; their own rows of u are not
            returned.

    Raises:
        InputError: a template cannot be used.
    """

    unlabelled: Tensor | None

    def __init__(
        self,
        branches: Branched,
        templates: Sequence[ImageSet],
        *,
        classes: int,
        graph: Graph,
        joint: bool,
        rule: str,
        device: str,
        unlabelled: ImageSet | None = None,
    ) -> None:
        super().__init__()
        self.branches = branches if isinstance(branches, TestedNetwork) else TestedNetwork(branches)
        self.classes, self.graph, self.joint, self.rule = classes, graph, joint, rule
        self.templates = nn.ModuleList(
            Template(
                clean_features(branches, images, device),
                images.labels.to(device),
                classes=classes,
                graph=graph,
                joint=joint,
            )
            for images in templates
        )
        others = None if unlabelled is None else clean_features(branches, unlabelled, device)
        if others is not None:
            check_features(others, "unlabelled")
        self.register_buffer("unlabelled", others, persistent=False)
        self.training = branches.training  # only the flag: the shared network keeps its own

    @property
    def points(self) -> tuple[Tensor, Tensor]:
        """Features (T, D) and labels (T,) of all templates together."""
        features = [template.get_buffer("features") for template in self.templates]
        return torch.cat(features), torch.cat([template.get_buffer("labels") for template in self.templates])

    def interpolation(self, z: Outputs, moved: Tensor | None = None) -> Interpolation:
        """Interpolate finite features (B, D): u (B, K) on the simplex, and which rows no path reached.

        Features `moved` (T, D), if given, stand in for those of all templates together.
        """
        if self.joint:
            return self._joint(z, moved)
        templates = [template.prepared for template in self.templates if isinstance(template, Template)]
        if moved is not None:
            parts = torch.split(moved, [len(template.labels) for template in templates])
            templates = [
                prepare_template(part, template.labels, classes=self.classes, graph=self.graph)
                for part, template in zip(parts, templates, strict=True)
            ]
        if len(templates) == 1:
            return interpolate_independent(z, templates[0])
        return vote_independent(z, templates, rule=self.rule)

    def feature_network(self) -> nn.Module:
        """Return the network from images (B, C, H, W) to features (B, D); see `robench.bounds.heads`.

        Raises:
            ConfigError: images share a graph, or the features of a network not of ours are caught on the way.
        """
        network = self.branches.module
        if self.joint or not isinstance(network, Network):
            raise ConfigError(
                where="head wnll",
                expected="`protocol: independent` or `voting`, over a network of the zoo",
                got="a joint graph" if self.joint else f"features inside of {type(network).__name__}",
                do="Bounds need features that each image has for itself",
            )
        return FeatureNetwork(network)

    @property
    def slack(self) -> float:
        """What a bound of a margin must exceed: weights are computed in float32."""
        return 1e-3

    def margins_over(self, low: Tensor, high: Tensor, y: Labels, linear: Linear | None = None) -> Tensor:
        """Return lower bounds (B, K) of u_y minus each other u over boxes of features (B, D), float64."""
        templates = [template.prepared for template in self.templates if isinstance(template, Template)]
        margins = [
            share_margins(low, high, y, _on_the_cpu(prepared), linear=linear) for prepared in templates
        ]
        return margins[0] if len(margins) == 1 else vote_margins(margins, y, self.rule)

    def _joint(self, z: Outputs, moved: Tensor | None = None) -> Interpolation:
        points, labels = self.points
        points = points if moved is None else moved
        if self.unlabelled is None:
            return interpolate(z, points, labels, classes=self.classes, graph=self.graph)
        queries = torch.cat([z, self.unlabelled.to(z.dtype)])
        whole = interpolate(queries, points, labels, classes=self.classes, graph=self.graph)
        return Interpolation(whole.u[: len(z)], whole.singular[: len(z)])

    def classify(self, z: Features, moved: Tensor | None = None) -> Outputs:
        """Map features (B, D) to u (B, K) on the simplex; a row of features with NaN or infinity to NaN.

        Features `moved` (T, D), if given, stand in for those of all templates together.
        """
        return guarded(z, lambda finite: self.interpolation(finite, moved).u)

    def forward(self, x: Tensor) -> Outputs:
        """Map images (B, C, H, W) in [0, 1] to u (B, K), every row a point of the simplex."""
        return self.classify(self.branches.features(x))


def guarded(z: Features, apply: Callable[[Features], Outputs]) -> Outputs:
    """Apply a function to features with bad rows set to zero, and give those rows NaN results.

    A network that overflows on one image must cost that image its verdict, not the batch its run.
    """
    finite = torch.isfinite(z).all(dim=1, keepdim=True)
    return apply(z.where(finite, 0.0)).where(finite, torch.nan)


@torch.no_grad()
def clean_features(branches: Branched | TestedNetwork, images: ImageSet, device: str) -> Tensor:
    """Return float32 features (T, D) of clean images, in evaluation mode, on the network's device.

    Raises:
        JobError: memory does not suffice for one image.
    """

    def parts(size: int) -> list[Tensor]:
        return [
            branches.features(images.batch(slice(start, start + size))[0].to(device))
            for start in range(0, len(images), size)
        ]

    batches = FittingBatches(images=len(images), where="template")
    with evaluating(branches), torch.autocast(torch.device(device).type, enabled=False):
        return torch.cat(batches.do(parts, most=_BATCH)).float()
