"""FGSM, the fast gradient sign method."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from attacks.gradient.ifgsm import ascend
from attacks.shared.options import finite_radius
from robench.attack.protocol import AttackInfo
from robench.papers import paper

if TYPE_CHECKING:
    from robench.attack.oracle import Oracle
    from robench.randomness import Randomness
    from robench.types import Images


@dataclass(frozen=True, slots=True, kw_only=True)
class FGSM:
    """One step as long as the radius along the gradient's sign, from the clean image, clipped to the box.

    Wang & Osher 2019 (arXiv:1907.06800), Eq. 14 and 21; under L2 the step follows the normalised gradient.
    """

    info: ClassVar[AttackInfo] = AttackInfo(
        identity="attacks.fgsm:FGSM",
        title="FGSM",
        paper="Goodfellow et al. 2015, arXiv:1412.6572; Wang & Osher 2019, arXiv:1907.06800, Eq. 14",
        bibtex=paper("goodfellow2015explaining"),
        norms=("Linf", "L2"),
    )

    def __call__(self, oracle: Oracle, _rng: Randomness) -> Images:
        """Return the one point; see `robench.attack.Attack`.

        Raises:
            ConfigError: the radius is infinite.
        """
        from robench.attack.losses import cross_entropy

        eps = finite_radius(oracle.threat.eps, "FGSM")
        return ascend(oracle, oracle.x, loss=cross_entropy, steps=1, step_size=eps)
