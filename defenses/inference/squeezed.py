"""A network that rejects images whose answer changes when they are squeezed."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from defenses.inference.bpda import Transform, details_of, straight_through
from defenses.inference.eot import log_mean, undefended
from defenses.inference.median import MedianFilter
from defenses.inference.naming import defended_names
from defenses.inference.quantizer import Quantizer
from robench.attack.losses import log_probabilities
from robench.data.images import ImageSet
from robench.errors import ConfigError
from robench.model.evaluation import evaluation_mode
from robench.model.interface import GradientSource, Model, OutputKind
from robench.randomness import seed_from
from robench.types import Images, Outputs, PerSample

if TYPE_CHECKING:
    from defenses.inference.squeezing import FeatureSqueezing

_BATCH = 250


class SqueezedNetwork(nn.Module):
    """Images to log-probabilities of the classes and of rejection, (B, K + 1).

    The odds of rejection against the likeliest class are score / threshold, so that rejection is predicted
    exactly where the score exceeds the threshold, and an attacker without gradients sees how far it is.

    Args:
        base: images to outputs of kind `output`; shared, not copied.
        squeezers: what makes a squeezed version.
        output: what the base network's outputs are.
    """

    threshold: Tensor

    def __init__(self, base: nn.Module, squeezers: Sequence[Transform], output: OutputKind) -> None:
        super().__init__()
        self.base, self.output = base, output
        self.squeezers = nn.ModuleList(squeezers)
        self.register_buffer("threshold", torch.zeros((), dtype=torch.float64))
        self.training = base.training  # only the flag: the shared network keeps its own

    def versions(self, x: Images) -> list[Images]:
        """Return the images and their squeezed versions; the gradient goes through all of them unchanged."""
        squeezed = [straight_through(x, s) for s in self.squeezers if isinstance(s, Transform)]
        return [x, *squeezed]

    def score(self, outputs: Sequence[Outputs]) -> PerSample:
        """Return the largest L1 distance, (B,) from 0 to 2, of the base's outputs on the versions."""
        first, *others = (log_probabilities(o, self.output).exp() for o in outputs)
        return torch.stack([(other - first).abs().sum(dim=1) for other in others]).amax(dim=0)

    def decide(self, outputs: Sequence[Outputs]) -> Outputs:
        """Return log-probabilities (B, K + 1) from the base's outputs (B, K) on the versions."""
        chances = log_probabilities(outputs[0], self.output)
        tiny = torch.finfo(chances.dtype).tiny
        odds = self.score(outputs) / self.threshold.to(chances.dtype).clamp_min(tiny)
        largest = torch.finfo(chances.dtype).max
        rejection = chances.amax(dim=1) + odds.clamp(tiny, largest).log()
        return torch.cat([chances, rejection[:, None]], dim=1).log_softmax(dim=1)

    def forward(self, x: Images) -> Outputs:
        """Map images (B, C, H, W) to log-probabilities (B, K + 1)."""
        return self.decide([self.base(version) for version in self.versions(x)])


def squeezed(
    model: Model, recipe: FeatureSqueezing, *, training_data: Callable[[], ImageSet], seed: int
) -> Model:
    """Return the model with a detector in front.

    Raises:
        ConfigError: the model rejects images already.
    """
    if model.rejects:
        raise ConfigError(
            where=f"model {model.name!r}",
            expected="a model that always answers with a class",
            got="one that rejects images",
            do="List feature squeezing once",
        )
    squeezers: list[Transform] = [] if recipe.bits is None else [Quantizer(recipe.bits)]
    if recipe.median is not None:
        squeezers.append(MedianFilter(recipe.median))
    net = SqueezedNetwork(model.net, squeezers, model.output).to(model.device)
    facts: dict[str, object] = {}
    threshold = recipe.threshold
    if threshold is None:
        data = training_data()
        threshold = calibrated(net, data, recipe, seed=seed)
        facts = {"data_sha256": data.digest(), "seed": seed}
    net.threshold.fill_(threshold)
    names = defended_names(tuple(model.sources), "adaptive")
    sources = [_adaptive(model.sources[old], net, new) for old, new in names.items()]
    forwards = (1 + len(squeezers)) * model.forwards
    sources.append(undefended(model, net, forwards))
    return replace(
        model,
        net=net,
        forwards=forwards,
        output=OutputKind.LOG_PROBABILITIES,
        rejects=True,
        neighbourhood=None,
        features=None,
        sources={source.name: source for source in sources},
        details=details_of(model, recipe, **facts, threshold_used=threshold),
    )


def _adaptive(source: GradientSource, net: SqueezedNetwork, name: str) -> GradientSource:
    """Return the source that fools an image and its squeezed versions at once (He et al. 2017)."""

    def surrogate(x: Images) -> tuple[Outputs, Outputs]:
        passes = [source.surrogate(version) for version in net.versions(x)]
        mean = log_mean([log_probabilities(outputs, source.output) for outputs, _ in passes])
        return mean, net.decide([own for _, own in passes])

    versions = 1 + len(net.squeezers)
    return GradientSource(
        name,
        surrogate,
        OutputKind.LOG_PROBABILITIES,
        forwards=versions * source.forwards,
        backwards=versions * source.backwards,
        template_free=source.template_free,
        unseen=source.unseen,
    )


@torch.no_grad()
def calibrated(net: SqueezedNetwork, data: ImageSet, recipe: FeatureSqueezing, *, seed: int) -> float:
    """Return the smallest score that at most a share `false_positives` of training images exceed.

    Args:
        net: its scores are taken.
        data: the training split, of which a seeded choice of at most `calibration` images is used.
        recipe: the options.
        seed: of the choice.
    """
    generator = torch.Generator().manual_seed(seed_from("calibration", seed))
    rows = torch.randperm(len(data), generator=generator)[: recipe.calibration]
    x, _ = data.batch(rows)
    with evaluation_mode(net):
        scores = [
            net.score([net.base(version) for version in net.versions(part.to(net.threshold.device))])
            for part in torch.split(x, _BATCH)
        ]
    ordered = torch.cat(scores).sort().values
    allowed = math.floor(recipe.false_positives * len(ordered))
    return float(ordered[len(ordered) - 1 - allowed])
