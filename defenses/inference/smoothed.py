"""A network that votes over noisy copies of an image (Cohen et al. 2019, section 3)."""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from robench.model.interface import NOT_FINITE, predictions
from robench.model.noise import noise_of
from robench.model.out_of_memory import at_once
from robench.types import ClassCounts, Images, Outputs

_BLOCK = 16
"""Noises drawn at once. It decides which noise a copy gets, so it must not depend on the batch."""

_ROWS = 250
"""Most noisy copies per pass, if images do not influence each other."""


class SmoothedNetwork(nn.Module):
    """Maps images to shares of votes (B, K); for its other methods see `robench.judge.certification`.

    Args:
        base: images to outputs; shared, not copied.
        classes: number of classes K.
        sigma: standard deviation of the noise.
        votes: noisy copies per prediction.
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
        self.training = base.training  # only this flag: the mode of the shared network does not change

    def forward(self, x: Images) -> Outputs:
        """Map images (B, C, H, W) in [0, 1] to shares of votes (B, K); NaN where a copy's output was NaN.

        A copy whose largest outputs tie votes for no class.
        """
        counts, failures = self._count(x, self.votes, use="smoothing")
        shares = counts.to(x.dtype) / self.votes
        return shares.where((failures == 0)[:, None], torch.nan)

    def counts(self, x: Images, copies: int, *, use: str) -> ClassCounts:
        """Return how many of `copies` noisy copies get each class, (B, K) int64.

        A copy whose output is not finite, or ties, counts for no class.

        Args:
            x: images (B, C, H, W) in [0, 1].
            copies: number of noisy copies.
            use: another name gives different, independent noise.
        """
        return self._count(x, copies, use)[0]

    @torch.no_grad()
    def _count(self, x: Images, copies: int, use: str) -> tuple[Tensor, Tensor]:
        """Return the votes (B, K), and how many copies had outputs that were not finite (B,)."""
        total = torch.zeros(len(x), self.classes, dtype=torch.int64, device=x.device)
        failures = torch.zeros(len(x), dtype=torch.int64, device=x.device)
        group = 1 if self.joint else max(1, at_once(_ROWS) // max(len(x), 1))
        noisy = self._copies(x, copies, use)
        for start in range(0, copies, group):
            batch = torch.cat([next(noisy) for _ in range(start, min(start + group, copies))])
            votes = predictions(self.base(batch)).view(-1, len(x))
            failures += (votes == NOT_FINITE).sum(dim=0)
            # Ties and NaN go into the first of K + 1 columns, which is left out.
            total += F.one_hot((votes + 1).clamp_min(0), self.classes + 1)[:, :, 1:].sum(dim=0)
        return total, failures

    def _copies(self, x: Images, copies: int, use: str) -> Iterator[Images]:
        """Yield the noisy copies, each (B, C, H, W)."""
        noise = noise_of(x, seed=self.seed, use=use)
        block = x.new_empty(len(x), _BLOCK, *x.shape[1:])
        for start in range(0, copies, _BLOCK):
            normal = noise.normal(block)
            for i in range(min(_BLOCK, copies - start)):
                yield x + self.sigma * normal[:, i]
