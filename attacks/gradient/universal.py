"""Universal: one perturbation for all images that are attacked together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from attacks.minimal.deepfool import cross
from attacks.shared.options import at_least, finite_radius, not_negative, share
from robench.attack.protocol import AttackInfo
from robench.papers import paper

if TYPE_CHECKING:
    from robench.attack.oracle import Oracle
    from robench.randomness import Randomness
    from robench.types import Images


@dataclass(frozen=True, slots=True, kw_only=True)
class Universal:
    """One perturbation for the whole batch, the sum of DeepFool steps of its images in turn.

    Moosavi-Dezfooli et al. 2017 (arXiv:1610.08401), Algorithm 1, with the DeepFool step of the threat's norm.

    The images are coupled: the result belongs to those that were attacked together. Another shard size gives
    another perturbation, and what it breaks are the images it was made on, not new ones. Every image is
    proposed with the same final perturbation, clipped to the box; none keeps an earlier one that suited it
    better, and none leaves the batch. The order of the images' turns is drawn from their own randomness, so
    their order in the batch does not matter.

    Attributes:
        sweeps: most times that every image gets its turn.
        fooled: share of the images at which the sweeps stop; the paper uses 0.8.
        steps: most DeepFool steps at one turn.
        rivals: wrong classes that compete in a DeepFool step, see DeepFool.
        overshoot: share by which a turn's perturbation is lengthened, see DeepFool.
    """

    info: ClassVar[AttackInfo] = AttackInfo(
        identity="attacks.universal:Universal",
        title="Universal perturbation",
        paper="Moosavi-Dezfooli et al. 2017, arXiv:1610.08401",
        bibtex=paper("moosavi2017universal"),
        norms=("Linf", "L2"),
        randomised=True,
        couples_images=True,
    )
    sweeps: int = 10
    fooled: float = 1.0
    steps: int = 10
    rivals: int = 9
    overshoot: float = 0.02

    def __post_init__(self) -> None:
        """Refuse invalid options."""
        at_least(1, sweeps=self.sweeps, steps=self.steps, rivals=self.rivals)
        not_negative(overshoot=self.overshoot)
        share(fooled=self.fooled)

    def __call__(self, oracle: Oracle, rng: Randomness) -> Images:
        """Return every image with the perturbation that broke most of them; see `robench.attack.Attack`.

        Raises:
            ConfigError: the radius is infinite.
        """
        import torch

        x, threat = oracle.x, oracle.threat
        finite_radius(threat.eps, "a universal perturbation")
        oracle.declarations.points_belong_together = True
        perturbation = best = torch.zeros_like(x[:1])
        most = -1
        for sweep in range(self.sweeps + 1):
            oracle.outputs(threat.clip(x + perturbation))
            count = int(oracle.reached.sum())
            if count > most:
                best, most = perturbation, count
            if sweep == self.sweeps or count >= self.fooled * len(x) or oracle.finished:
                break
            perturbation = self._sweep(oracle, perturbation, rng)
        return threat.clip(x + best)

    def _sweep(self, oracle: Oracle, perturbation: Images, rng: Randomness) -> Images:
        """Let every image in turn change the shared perturbation (1, C, H, W); return the result."""
        import torch

        x, threat = oracle.x, oracle.threat
        turns = rng.uniform(x.new_empty(len(x), 1)).squeeze(1).argsort(stable=True)
        for turn in turns.tolist():
            if oracle.finished:
                break
            mine = torch.zeros_like(oracle.reached)
            mine[turn] = True
            start = threat.clip(x + perturbation)
            with oracle.only(mine):
                point = cross(oracle, start, steps=self.steps, rivals=self.rivals, overshoot=self.overshoot)
            total = perturbation + (point - start)[turn : turn + 1]
            perturbation = threat.norm.project(total, x.new_full((1,), threat.eps))
        return perturbation
