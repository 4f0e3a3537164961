"""Natural training for the WNLL head: linear and WNLL stages in turn. No torch at import."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from defenses.wnll.training import WNLLTraining
from robench.model.defense import DefenseInfo
from robench.papers import paper


@dataclass(frozen=True, slots=True, kw_only=True)
class WNLLNatural(WNLLTraining):
    """Stage 1 trains everything through the linear branch, stage 2 the buffer through WNLL; twice.

    Wang & Osher 2019 (arXiv:1907.06800), Algorithm 1 and section 4: N = 2 passes; 400 epochs at learning rate
    0.05, halved every 50; then 5 epochs at 0.0005 in batches of 2,000, one half of the data as template, the
    other interpolated, gradients by Eq. 13; the second pass at a fifth of the rates. `epochs`, `batch_size`,
    `learning_rate` and `schedule` are those of each linear stage. Each stage keeps its own best checkpoint:
    a linear stage by the linear branch, a WNLL stage by WNLL, each held-out image alone with a template. The
    result is that of the last WNLL stage. The other options are those of
    `defenses.training.options.TrainingOptions` and `defenses.wnll.options.WNLLOptions`.

    Raises:
        ConfigError: an option value is invalid, or two contradict each other.
    """

    info: ClassVar[DefenseInfo] = DefenseInfo(
        title="WNLL natural training",
        paper="Wang & Osher 2019, arXiv:1907.06800, Algorithm 1",
        bibtex=paper("wang2019graph"),
    )
