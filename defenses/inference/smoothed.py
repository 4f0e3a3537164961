"""A network that votes over noisy copies of an image (Cohen et al. 2019, section 3)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from defenses.inference.bpda import details_of
from defenses.inference.eot import expected, undefended
from defenses.inference.naming import defended_names
from robench.errors import ConfigError
from robench.model.interface import NOT_FINITE, Coupling, Model, OutputKind, predictions
from robench.model.noise import noise_of
from robench.types import Images, Outputs

if TYPE_CHECKING:
    from defenses.inference.smoothing import Smoothing

_BLOCK = 16
"""Noises drawn at once. Which noise a copy gets depends on it, so it must not depend on the batch."""

_ROWS = 250
"""Most noisy copies per pass, where images do not influence each other."""


class SmoothedNetwork(nn.Module):
    """Images to shares of votes (B, K); what else it can do says `robench.judge.certification.Certifiable`.

    Args:
        base: images to outputs; shared, not copied.
        classes: number of classes K.
        sigma: standard deviation of the noise.
        votes: noisy copies per answer.
        seed: of the noise, with the image and the draw.
        joint: whether the images of a batch influence each other, so that every copy keeps the whole batch.
    """

    def __init__(
        self, base: nn.Module, *, classes: int, sigma: float, votes: int, seed: int, joint: bool
    ) -> None:
        super().__init__()
        self.base = base
        self.classes, self.sigma, self.votes = classes, sigma, votes
        self.seed, self.joint = seed, joint
        self.training = base.training  # only the flag: the shared network keeps its own

    def forward(self, x: Images) -> Outputs:
        """Map images (B, C, H, W) to shares of votes (B, K); NaN where a vote was no number.

        A copy that got no answer, as its largest outputs tie, votes for no class.
        """
        counts, lost = self._count(x, self.votes, use="smoothing")
        shares = counts.to(x.dtype) / self.votes
        return shares.where((lost == 0)[:, None], torch.nan)

    def counts(self, x: Images, copies: int, *, use: str) -> Tensor:
        """Return how many of `copies` noisy copies got each class, (B, K) int64.

        A copy whose output is not finite, or ties, counts for no class.

        Args:
            x: images (B, C, H, W).
            copies: how many.
            use: another name gives other, independent noise.
        """
        return self._count(x, copies, use)[0]

    @torch.no_grad()
    def _count(self, x: Images, copies: int, use: str) -> tuple[Tensor, Tensor]:
        """Return the votes (B, K), and how many copies' outputs were no number (B,)."""
        total = torch.zeros(len(x), self.classes, dtype=torch.int64, device=x.device)
        lost = torch.zeros(len(x), dtype=torch.int64, device=x.device)
        group = 1 if self.joint else max(1, _ROWS // max(len(x), 1))
        noisy = self._copies(x, copies, use)
        for start in range(0, copies, group):
            batch = torch.cat([next(noisy) for _ in range(start, min(start + group, copies))])
            voted = predictions(self.base(batch)).view(-1, len(x))
            lost += (voted == NOT_FINITE).sum(dim=0)
            # No answer, of either kind, is the first of K + 1 columns and left out.
            total += F.one_hot((voted + 1).clamp_min(0), self.classes + 1)[:, :, 1:].sum(dim=0)
        return total, lost

    def _copies(self, x: Images, copies: int, use: str) -> Iterator[Images]:
        noise = noise_of(x, seed=self.seed, use=use)
        block = x.new_empty(len(x), _BLOCK, *x.shape[1:])
        for start in range(0, copies, _BLOCK):
            drawn = noise.normal(block)
            for i in range(min(_BLOCK, copies - start)):
                yield x + self.sigma * drawn[:, i]


def smoothed(model: Model, recipe: Smoothing, *, seed: int) -> Model:
    """Return the smoothed model; every gradient source is averaged over noise, and one ignores it.

    Raises:
        ConfigError: the model rejects images.
    """
    if model.rejects:
        raise ConfigError(
            where=f"model {model.name!r}",
            expected="a model that always answers with a class",
            got="one that rejects images",
            do="List feature squeezing before smoothing, or leave one of them out",
        )
    net = SmoothedNetwork(
        model.net,
        classes=model.classes,
        sigma=recipe.sigma,
        votes=recipe.votes,
        seed=seed,
        joint=model.coupling is Coupling.JOINT,
    )

    forwards = recipe.votes * model.forwards

    def versions(x: Images) -> Callable[[], Images]:
        return lambda: x + recipe.sigma * noise_of(x, seed=seed, use="attack").normal(x)

    sources = [
        expected(model.sources[old], versions, net, count=recipe.samples, name=new, answer_forwards=forwards)
        for old, new in defended_names(tuple(model.sources), "eot").items()
    ]
    sources.append(undefended(model, net, forwards))
    return replace(
        model,
        net=net,
        forwards=forwards,
        output=OutputKind.SIMPLEX,
        neighbourhood=None,
        random=True,
        features=None,
        sources={source.name: source for source in sources},
        details=details_of(model, recipe, seed=seed),
    )
