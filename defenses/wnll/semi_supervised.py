"""Natural training for the WNLL head with images whose labels are unknown. No torch at import."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from defenses.option_checks import require
from defenses.wnll.training import WNLLTraining
from robench.model.defense import DefenseInfo
from robench.papers import paper


@dataclass(frozen=True, slots=True, kw_only=True)
class WNLLSemiSupervised(WNLLTraining):
    """Like WNLL natural training, with unlabelled images in the graphs of the WNLL stages.

    Wang & Osher 2019 (arXiv:1907.06800), section 3.3, approach II: labelled template, labelled mini-batch and
    unlabelled images share a graph; the loss is that of the labelled mini-batch alone, by Eq. 13. The linear
    stages, the template half and the held-out part use only labelled images. The paper describes approach II
    without numbers (its Table 11 is approach I, the option `unlabelled` of the head `wnll`); all defaults are
    those of `defenses.wnll.natural.WNLLNatural`, whose other options these are too.

    Attributes:
        unlabelled: unlabelled images in the graph, drawn anew for every step; all of them if there are fewer.

    Raises:
        ConfigError: an option value is invalid, or two contradict each other.
    """

    info: ClassVar[DefenseInfo] = DefenseInfo(
        title="WNLL semi-supervised training",
        paper="Wang & Osher 2019, arXiv:1907.06800, section 3.3, approach II",
        bibtex=paper("wang2019graph"),
        uses_unlabelled=True,
    )
    unlabelled: int = 2000

    def __post_init__(self) -> None:
        """Refuse values that would only fail, or silently do nothing, after hours of training."""
        WNLLTraining.__post_init__(self)
        require(self.unlabelled >= 1, "unlabelled", "at least 1", self.unlabelled, "Or use wnll_natural")

    def unlabelled_per_step(self) -> int:
        """Return how many unlabelled images join the graph of each step, at most."""
        return self.unlabelled
