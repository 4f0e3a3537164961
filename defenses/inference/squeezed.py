"""A network that rejects images whose outputs change when they are squeezed."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from defenses.inference.bpda import straight_through
from defenses.inference.eot import log_mean
from defenses.inference.transforms import Transform
from robench.attack.losses import log_probabilities
from robench.data.images import ImageSet
from robench.model.evaluation import evaluation_mode
from robench.model.interface import GradientSource, OutputKind
from robench.model.out_of_memory import FittingBatches
from robench.randomness import seed_from
from robench.types import Images, Outputs, PerSample

_BATCH = 250


class SqueezedNetwork(nn.Module):
    """Maps images to log-probabilities of the classes and of rejection, (B, K + 1).

    The odds of rejection against the likeliest class are score / threshold, so that rejection is predicted
    exactly if the score exceeds the threshold, and an attacker without gradients sees the distance to it.

    Args:
        base: images to outputs of kind `output`; shared, not copied.
        squeezers: each gives one squeezed version of the images.
        output: kind of the base network's outputs.
    """

    threshold: Tensor

    def __init__(self, base: nn.Module, squeezers: Sequence[Transform], output: OutputKind) -> None:
        super().__init__()
        self.base, self.output = base, output
        self.squeezers = nn.ModuleList(squeezers)
        self.register_buffer("threshold", torch.zeros((), dtype=torch.float64))
        self.training = base.training  # only this flag: the mode of the shared network does not change

    def versions(self, x: Images) -> list[Images]:
        """Return images and squeezed versions, each (B, C, H, W) in [0, 1]; gradients pass unchanged."""
        variants = [straight_through(x, s) for s in self.squeezers if isinstance(s, Transform)]
        return [x, *variants]

    def score(self, outputs: Sequence[Outputs]) -> PerSample:
        """Return the largest L1 distance, (B,) from 0 to 2, of the base's outputs on the versions."""
        first, *others = (log_probabilities(o, self.output).exp() for o in outputs)
        return torch.stack([(other - first).abs().sum(dim=1) for other in others]).amax(dim=0)

    def decide(self, outputs: Sequence[Outputs]) -> Outputs:
        """Return log-probabilities (B, K + 1) from the base's outputs (B, K) on the versions."""
        log_probs = log_probabilities(outputs[0], self.output)
        limits = torch.finfo(log_probs.dtype)
        odds = self.score(outputs) / self.threshold.to(log_probs.dtype).clamp_min(limits.tiny)
        rejection = log_probs.amax(dim=1) + odds.clamp(limits.tiny, limits.max).log()
        return torch.cat([log_probs, rejection[:, None]], dim=1).log_softmax(dim=1)

    def forward(self, x: Images) -> Outputs:
        """Map images (B, C, H, W) in [0, 1] to log-probabilities (B, K + 1)."""
        return self.decide([self.base(version) for version in self.versions(x)])


def adaptive_source(source: GradientSource, net: SqueezedNetwork, name: str) -> GradientSource:
    """Return the source that fools an image and its squeezed versions at once (He et al. 2017)."""

    def surrogate(x: Images) -> tuple[Outputs, Outputs]:
        """Map images (B, C, H, W) to mean log-probabilities (B, K) and decisions (B, K + 1)."""
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
def calibrated_threshold(
    net: SqueezedNetwork, data: ImageSet, *, false_positives: float, calibration: int, seed: int
) -> float:
    """Return the smallest score, 0 to 2, that at most a share `false_positives` of training images exceeds.

    Args:
        net: computes the scores.
        data: the training split, images (N, C, H, W) in [0, 1].
        false_positives: the share, from 0 and below 1.
        calibration: most images to use; a seeded choice.
        seed: of the choice.

    Raises:
        JobError: memory does not suffice for one image.
    """
    generator = torch.Generator().manual_seed(seed_from("calibration", seed))
    rows = torch.randperm(len(data), generator=generator)[:calibration]
    x, _ = data.batch(rows)

    def scores_of(size: int) -> list[PerSample]:
        """Return the scores, each (b,) with b at most `size`, of all calibration images."""
        return [
            net.score([net.base(version) for version in net.versions(part.to(net.threshold.device))])
            for part in torch.split(x, size)
        ]

    with evaluation_mode(net):
        scores = FittingBatches(images=len(x), where="feature squeezing").do(scores_of, most=_BATCH)
    ranks = torch.cat(scores).sort().values
    quota = len(ranks) - math.floor(false_positives * len(ranks))
    return float(ranks[quota - 1])
