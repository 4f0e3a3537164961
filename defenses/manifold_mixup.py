"""Manifold mixup: the network learns to be linear between the features of two images. No torch at import."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from defenses.option_checks import one_of, positive, require
from defenses.training.objective import BatchContext, CleanObjective
from defenses.training.options import TrainingOptions
from robench.errors import ConfigError
from robench.model.defense import DefenseInfo, TrainingContext
from robench.papers import paper

if TYPE_CHECKING:
    from torch import nn

    from robench.data.images import ImageSet
    from robench.randomness import Randomness
    from robench.types import Images, IntPerSample, Labels, Outputs, Scalar


@dataclass(frozen=True, slots=True, kw_only=True)
class ManifoldMixup(TrainingOptions):
    """Cross-entropy on l h(x) + (1 - l) h(x') with the labels mixed alike, h drawn among layers per batch.

    Verma et al. 2018 (arXiv:1806.05236), section 2: l from Beta(alpha, alpha), alpha 2, one l per batch, x' a
    permutation of the batch. The paper draws among the input and the first hidden blocks; a network offers
    its input and its `features` (the layer under the linear branch, after the buffer) here, and a network
    without `features` is refused, because mixing only inputs would not be manifold mixup. The defaults are
    the authors' for CIFAR-10: 1,200 epochs at learning rate 0.1, divided by 10 at 400 and 800, weight decay
    0.0001, batches of 100. The checkpoint is chosen by natural accuracy. The other options are those of
    `defenses.training.options.TrainingOptions`.

    Attributes:
        alpha: both parameters of the beta distribution; above 0.
        layers: where to mix; one of them is drawn for each batch. `features` must be among them.

    Raises:
        ConfigError: an option value is invalid, or two contradict each other.
    """

    info: ClassVar[DefenseInfo] = DefenseInfo(
        title="Manifold mixup", paper="Verma et al. 2018, arXiv:1806.05236", bibtex=paper("verma2019manifold")
    )
    epochs: int = 1200
    batch_size: int = 100
    learning_rate: float = 0.1
    nesterov: bool = False
    weight_decay: float = 1e-4
    schedule: Literal["constant", "multistep", "cosine", "cyclic"] = "multistep"
    alpha: float = 2.0
    layers: tuple[Literal["input", "features"], ...] = ("input", "features")

    MILESTONES: ClassVar[tuple[float, ...]] = (1 / 3, 2 / 3)

    def __post_init__(self) -> None:
        """Refuse values that would only fail, or silently do nothing, after hours of training."""
        TrainingOptions.__post_init__(self)
        positive(alpha=self.alpha)
        for layer in self.layers:
            one_of("layers", layer, ("input", "features"))
        is_valid = "features" in self.layers and len(set(self.layers)) == len(self.layers)
        require(is_valid, "layers", "different layers, `features` among them", list(self.layers))

    def __call__(
        self, network: nn.Module, data: ImageSet, *, context: TrainingContext
    ) -> list[dict[str, float]]:
        """Train a network, images (B, C, H, W) to logits (B, K), in place; see `robench.model.Defense`.

        Raises:
            ConfigError: the network does not offer `features` and a `linear` branch.
        """
        from defenses.training.loop import train

        if not callable(getattr(network, "features", None)) or not callable(getattr(network, "linear", None)):
            raise ConfigError(
                where="manifold_mixup",
                expected="a network with `features` and a `linear` branch, whose features can be mixed",
                got=f"{type(network).__name__}, where only the input could be",
                do="Choose an architecture of `robench list models`",
            )
        return train(network, data, _MixedLoss(network, self), options=self, context=context)


@dataclass(frozen=True, slots=True)
class _MixedLoss(CleanObjective):
    network: Any
    options: ManifoldMixup

    def loss(self, x: Images, y: Labels, batch: BatchContext) -> tuple[Scalar, Outputs]:
        """Return the mean loss of mixed images or features, and the logits (B, K) of these (section 2).

        Args:
            x: images (B, C, H, W) in [0, 1].
            y: labels (B,), from 0 to K - 1.
            batch: its randomness draws share, partners and layer; the progress is not used.
        """
        import torch.nn.functional as F

        share, partner, layer = self.draw(batch.rng)
        partner = partner.to(x.device)
        if layer == "input":
            logits: Outputs = self.network(x.lerp(x[partner], 1 - share))
        else:
            z = self.network.features(x)
            logits = self.network.linear(z.lerp(z[partner], 1 - share))
        mixture = share * F.cross_entropy(logits, y) + (1 - share) * F.cross_entropy(logits, y[partner])
        return mixture, logits

    def draw(self, rng: Randomness) -> tuple[float, IntPerSample, str]:
        """Return the share of the image itself, each image's partner (B,), and the layer to mix at."""
        import numpy as np
        import torch

        generator = np.random.default_rng(rng.torch_seed())
        share = float(generator.beta(self.options.alpha, self.options.alpha))
        layer = self.options.layers[int(generator.integers(len(self.options.layers)))]
        return share, torch.from_numpy(generator.permutation(len(rng.images))), layer
