"""Deep k-nearest neighbours (Papernot & McDaniel 2018, arXiv:1803.04765) as a head. No torch at import."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from model_zoo.heads.option_checks import check_temperature, check_template
from robench.errors import ConfigError, InputError
from robench.papers import paper
from robench.recipe import Info, identity_of

if TYPE_CHECKING:
    from torch import nn

    from robench.data.images import ImageSet
    from robench.model.interface import Model


@dataclass(frozen=True, slots=True, kw_only=True)
class DeepKNN:
    """The class that most of the k nearest template images have, counted over several layers.

    Distances are cosine distances, exact instead of approximate as in the paper. Calibration images are drawn
    from the training split, which the network has seen: its credibility on them is optimistic.

    Attributes:
        k: how many images vote in each layer; 1 to 500, at most the size of the template.
        layers: names of modules of the network, such as `backbone.dense`; by default the parts of its
            backbone and its buffer layer.
        template: training images in the template; None takes all that are not used for calibration.
        calibration: other training images, against which credibility is measured.
        reject_below: an image is rejected where its credibility, the share of calibration images that conform
            no better, is below this; 0 for never.
        balanced: draw equally many images of each class; otherwise purely at random.
        tau: temperature of the gradient source `kernel`, the mean over layers of log-densities.
    """

    info: ClassVar[Info] = Info(
        title="Deep k nearest neighbours",
        paper="Papernot & McDaniel 2018, arXiv:1803.04765",
        bibtex=paper("papernot2018deep"),
    )
    offers: ClassVar[tuple[str, ...]] = ("straight_through", "linear", "kernel")
    k: int = 15
    layers: tuple[str, ...] = ()
    template: int | None = 500
    calibration: int = 100
    reject_below: float = 0.0
    balanced: bool = True
    tau: float = 1.0

    def __post_init__(self) -> None:
        """Refuse values that make voting impossible."""
        if not 1 <= self.k <= 500:
            raise ConfigError(expected="k from 1 to 500", got=str(self.k))
        check_template(self.template, self.k, "k")
        check_temperature(self.tau)
        if self.calibration < 1:
            raise ConfigError(expected="calibration of at least 1", got=str(self.calibration))
        if not 0 <= self.reject_below <= 1:
            raise ConfigError(expected="reject_below from 0 to 1", got=str(self.reject_below))
        if len(set(self.layers)) < len(self.layers):
            raise ConfigError(expected="each of the layers once", got=", ".join(self.layers))

    def check(self, training_data: Callable[[], ImageSet], *, classes: int, seed: int) -> None:
        """Refuse training data from which no template can be drawn.

        Raises:
            InputError: as `__call__`.
        """
        self._draw(training_data(), classes=classes, seed=seed)

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
        """Return the model: votes (B, K) on the simplex, (B, K + 1) where it may reject; see `heads.Head`.

        Raises:
            ConfigError: the network's answers are random, or it has no layer of a name.
            InputError: the training data are too few, miss a class, or are not the training split; or a layer
                gives no features.
        """
        from model_zoo.heads.deep_knn_network import DeepKNNNetwork, layer_neighbourhood, layer_sources
        from model_zoo.heads.layer_features import LayerFeatures, layer_names
        from model_zoo.heads.neighbours import fixed_network
        from robench.model.interface import Model, OutputKind

        template, calibration = self._draw(training_data(), classes=classes, seed=seed)
        network = fixed_network(network, device)
        probe = template.batch(slice(0, 3))[0].to(device)
        branches = LayerFeatures(network, layer_names(network, self.layers, probe), probe)
        net = DeepKNNNetwork(
            branches,
            template,
            calibration,
            classes=classes,
            device=device,
            k=self.k,
            reject_below=self.reject_below,
        )
        facts = {
            "head": "deep_knn",
            **identity_of(self),
            "layers": list(branches.layers),
            "template": len(template),
            "template_sha256": [template.digest()],
            "calibration_sha256": calibration.digest(),
        }
        return Model(
            name=name,
            net=net,
            classes=classes,
            output=OutputKind.SIMPLEX,
            sources=layer_sources(net, tau=self.tau, output=OutputKind(output)),
            details={**details, **facts},
            neighbourhood=layer_neighbourhood(net, template),
            template=True,
            rejects=self.reject_below > 0,
        )

    def _draw(self, data: ImageSet, *, classes: int, seed: int) -> tuple[ImageSet, ImageSet]:
        """Return the template and the images of calibration, disjoint."""
        from model_zoo.graph.coverage import check_template
        from model_zoo.heads.templates import draw_templates

        size = None if self.template is None else self.template + self.calibration
        (images,) = draw_templates(data, size, votes=1, balanced=self.balanced, classes=classes, seed=seed)
        count = len(images) - self.calibration
        if count < self.k:
            raise InputError(
                where="template",
                expected=f"at least k + calibration = {self.k + self.calibration} training images",
                got=f"{len(images)}",
                do="Lower `k` or `calibration`, or give more training images",
            )
        template = images.subset(slice(0, count))
        check_template(template.labels, classes)
        return template, images.subset(slice(count, None))
