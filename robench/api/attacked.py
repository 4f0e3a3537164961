"""The result of an attack: images, a verdict for each of them, and their distances."""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from robench.api import html
from robench.api.plots import Plots
from robench.api.results import Results
from robench.plan.radius import radius
from robench.plurals import counted
from robench.record.exchange.frame import frame_of
from robench.record.measures.curves import smallest_perturbations
from robench.record.measures.draws import MeanStood, mean_stood
from robench.record.measures.statistics import wilson
from robench.record.schema import Finding, Record, Status
from robench.record.threat_summary import ThreatSummary
from robench.types import Images, Labels, Mask, PerSample

if TYPE_CHECKING:
    import pandas as pd


TOLD = frozenset({"inadmissible", "nonfinite-proposal"})
"""Findings about the images that the attack returned, shown in words to the author of the attack."""


@dataclass(frozen=True, slots=True, kw_only=True, repr=False, eq=False)
class Attacked:
    """The judged result of an attack on some images: for each image the worst over gradient sources.

    If several sources broke an image, the first counts, or the smallest change if the attack minimises. For a
    random model verdicts and images belong to the draw that was attacked, and `robust_accuracy` is over fresh
    draws.

    Attributes:
        attack: its name.
        norm: name of the norm.
        eps: the radius as it was written.
        x: the clean images (B, C, H, W), on the CPU.
        images: the adversarial images (B, C, H, W) as they were judged: inside ball and box. After
            `until_broken=True` each is the first that broke the model, which breaks others less.
        labels: (B,) the true classes.
        clean: (B,) predicted classes of the clean images; -1 for NaN or infinity, -2 for a tie.
        adversarial: (B,) predicted classes of the adversarial images.
        status: a verdict for each image: `robust`, `broken`, `misclassified` before the attack, or `failed`.
            Of a targeted attack `broken` is the target, and `robust` all else that was right before.
        distance: (B,) size of each change in the norm, float64.
        linf: (B,) largest change of a pixel.
        l2: (B,) Euclidean size of the change.
        findings: reasons to doubt the model or the attack.
        records: what was measured, as `benchmark` gives it.
        lifted: codes of findings that do not put a number in doubt, because no image was left to break or
            another source broke more.
        stood: for a random model, a 1 (stood) or 0 (fell) per image and fresh draw, at the worst of the
            image's points; empty for other models.
    """

    attack: str
    norm: str
    eps: str
    x: Images
    images: Images
    labels: Labels
    clean: Labels
    adversarial: Labels
    status: tuple[Status, ...]
    distance: PerSample
    linf: PerSample
    l2: PerSample
    findings: tuple[Finding, ...]
    records: tuple[Record, ...]
    stood: tuple[str, ...] = ()
    lifted: frozenset[str] = frozenset()

    def __len__(self) -> int:
        """Return how many images there are."""
        return len(self.status)

    @property
    def broken(self) -> Mask:
        """Which images (B,) were classified right before the attack and are not after it."""
        return torch.tensor([status is Status.BROKEN for status in self.status])

    @property
    def robust(self) -> Mask:
        """Which images (B,) are still classified right."""
        return torch.tensor([status is Status.ROBUST for status in self.status])

    @property
    def robust_accuracy(self) -> float:
        """The share of all images that are still classified right; for a random model over fresh draws.

        It is the worst case of the leaderboard of the same records.
        """
        return mean_stood(self.stood).mean if self.stood else self.one_draw_accuracy

    @property
    def one_draw_accuracy(self) -> float:
        """The share of images that are still right in the draw that was attacked, as `robust` counts them."""
        return sum(status is Status.ROBUST for status in self.status) / len(self)

    def to_frame(self) -> pd.DataFrame:
        """Return a tidy table, a line for each image and gradient source; see `Results.to_frame`."""
        return frame_of(self.records)

    def leaderboard(self) -> pd.DataFrame:
        """Return the attack's row of the leaderboard as a table; see `Results.leaderboard`."""
        return Results(records=self.records).leaderboard()

    @property
    def plot(self) -> Plots:
        """The figures, such as `plot("steps")`; see `Results.plot`."""
        return Plots(self.records)

    def __repr__(self) -> str:
        """Return one line: the attack, and how many images stand."""
        return f"Attacked({self._summary()})"

    def _summary(self) -> str:
        count = {status: self.status.count(status) for status in Status}
        others = [f"{count[s]} {s}" for s in Status if count[s] and s is not Status.ROBUST]
        doubts = {finding.code: finding for finding in self.findings}
        words = [
            f"{code} ({doubts[code].evidence})" if code in TOLD else code
            for code in sorted(doubts)
            if code not in self.lifted
        ]
        calm = sorted(self.lifted & set(doubts))
        threat = ThreatSummary(self.norm, radius(self.eps)[0])
        if math.isinf(threat.eps) and count[Status.BROKEN]:
            sizes = smallest_perturbations(self.records)
            assert sizes is not None  # these records are new, and so have sizes
            others.append(f"median over all images {statistics.median(sizes.values()):.4g}")
        return (
            f"{self.attack}, {threat.power(self.eps)}: {self._robust_share(count[Status.ROBUST])}"
            f"{''.join(f', {text}' for text in others)}"
            f"{'; findings: ' + ', '.join(words) if words else ''}"
            f"{'; lifted: ' + ', '.join(calm) if calm else ''}"
        )

    def _robust_share(self, robust: int) -> str:
        """Say how many images stand: in the only draw, or over fresh draws and in the attacked draw."""
        total = counted(len(self), "image")
        is_targeted = any(record.threat.goal == "targeted" for record in self.records)
        one_draw = f"{robust} of {total} {'not led to their target' if is_targeted else 'robust'}"
        if not self.stood:
            low, high = wilson(robust, len(self))
            return f"{one_draw} {_percent(low, high)}"
        over: MeanStood = mean_stood(self.stood)
        return (
            f"{100 * over.mean:.1f} % robust {_percent(over.low, over.high)} over "
            f"{counted(len(self.stood[0]), 'fresh draw')}; in the attacked draw {one_draw}"
        )

    def _repr_html_(self) -> str:
        positions = [i for i, s in enumerate(self.status) if s is Status.BROKEN][: html.MOST_PICTURES]
        positions = positions or list(range(min(len(self), html.MOST_PICTURES)))
        rows = [
            [
                html.picture(self.x[i].numpy()),
                html.picture(self.images[i].numpy()),
                int(self.labels[i]),
                f"{int(self.clean[i])} → {int(self.adversarial[i])}",
                str(self.status[i]),
                f"{float(self.distance[i]):.4g}",
            ]
            for i in positions
        ]
        header = ["Clean", "Adversarial", "Label", "Predicted", "Verdict", f"{self.norm} distance"]
        return html.table(self._summary(), header, rows)


def _percent(low: float, high: float) -> str:
    return f"[{100 * low:.1f}, {100 * high:.1f}] %"
