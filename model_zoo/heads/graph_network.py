"""Heads over a graph as modules: features of a network, and labels extended from template images."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from model_zoo.graph.coverage import check_features, check_template
from model_zoo.graph.independent import PreparedTemplate, prepare_template
from model_zoo.graph.interpolation import Interpolation
from model_zoo.graph.settings import Graph
from model_zoo.graph.voting import combine
from model_zoo.last_layer import Branched, evaluating
from robench.data.images import ImageSet
from robench.model.out_of_memory import FittingBatches
from robench.model.tested_network import TestedNetwork
from robench.types import Features, Outputs, PointLabels, Points, Values

_BATCH = 250


class Template(nn.Module):
    """Features of clean template images, as buffers that follow the module from device to device.

    They are not in the state_dict, because they can be computed from the network's weights and the images.

    Args:
        features: (T, D), without gradient.
        labels: (T,) int64.
        classes: number of classes.
        graph: the graph's settings.
        joint: skip the search among the template's own points, which a joint graph makes itself.
    """

    def __init__(
        self, features: Points, labels: PointLabels, *, classes: int, graph: Graph, joint: bool
    ) -> None:
        super().__init__()
        self.classes, self.graph = classes, graph
        if joint:
            check_template(labels, classes, features)
            buffers = {"features": features, "labels": labels}
        else:
            template = prepare_template(features, labels, classes=classes, graph=graph)
            names = ("features", "labels", "one_hot", "radius2", "inner2", "outer2")
            buffers = {name: getattr(template, name) for name in names}
        for name, tensor in buffers.items():
            self.register_buffer(name, tensor, persistent=False)

    @property
    def prepared(self) -> PreparedTemplate:
        """The template prepared for the independent protocol; a joint head has none."""
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


class GraphNetwork(nn.Module, ABC):
    """Images to class scores on a graph over features; a subclass defines how labels are extended.

    The template's features are computed once, here: make a new object if the network's weights change.

    Args:
        branches: features and linear branch; shared, not copied, in a wrapper of their own.
        templates: clean training images; one, or several that vote.
        classes: number of classes K.
        graph: the graph's settings.
        joint: put the whole batch into one graph with the (only) template, instead of each image alone.
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
        device: str,
        rule: str = "majority",
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
        self.training = branches.training  # only this flag: the mode of the shared network is not changed

    @abstractmethod
    def together(self, query: Features, template: Points, labels: PointLabels) -> Interpolation:
        """Label all rows of `query (Q, D)` in one graph with the template `(T, D)`, labels `(T,)`."""

    @abstractmethod
    def alone(self, query: Features, template: PreparedTemplate) -> Interpolation:
        """Label each row of `query (Q, D)` as if it were the only one."""

    @property
    def points(self) -> tuple[Points, PointLabels]:
        """Features (T, D) and labels (T,) of all templates together."""
        features = [template.get_buffer("features") for template in self.templates]
        return torch.cat(features), torch.cat([template.get_buffer("labels") for template in self.templates])

    @property
    def prepared(self) -> list[PreparedTemplate]:
        """Every template prepared for the independent protocol."""
        return [template.prepared for template in self.templates if isinstance(template, Template)]

    def interpolation(self, z: Features, moved: Points | None = None) -> Interpolation:
        """Label finite features (B, D): rows (B, K), and which of them no path reached.

        Features `moved` (T, D), if given, replace those of all templates together.
        """
        if self.joint:
            return self._joint(z, moved)
        templates = self.prepared
        if moved is not None:
            parts = torch.split(moved, [len(template.labels) for template in templates])
            templates = [
                prepare_template(part, template.labels, classes=self.classes, graph=self.graph)
                for part, template in zip(parts, templates, strict=True)
            ]
        rows = [self.alone(z, template) for template in templates]
        return rows[0] if len(rows) == 1 else combine(rows, self.rule)

    def _joint(self, z: Outputs, candidates: Tensor | None = None) -> Interpolation:
        points, labels = self.points
        points = points if candidates is None else candidates
        if self.unlabelled is None:
            return self.together(z, points, labels)
        whole = self.together(torch.cat([z, self.unlabelled.to(z.dtype)]), points, labels)
        return Interpolation(whole.u[: len(z)], whole.singular[: len(z)])

    def classify(self, z: Features, moved: Points | None = None) -> Outputs:
        """Map features (B, D) to rows (B, K); a row of features with NaN or infinity to NaN.

        Features `moved` (T, D), if given, replace those of all templates together.
        """
        return guarded(z, lambda finite: self.interpolation(finite, moved).u)

    def forward(self, x: Values) -> Outputs:
        """Map images (B, C, H, W) in [0, 1] to rows (B, K)."""
        return self.classify(self.branches.features(x))


def guarded(z: Features, apply: Callable[[Features], Outputs]) -> Outputs:
    """Apply a function to features with bad rows set to zero, and give those rows NaN results.

    If a network overflows on one image, only that image must fail, not the whole batch.
    """
    finite = torch.isfinite(z).all(dim=1, keepdim=True)
    return apply(z.where(finite, 0.0)).where(finite, torch.nan)


@torch.no_grad()
def clean_features(branches: Branched | TestedNetwork, images: ImageSet, device: str) -> Points:
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
