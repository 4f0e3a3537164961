"""AutoAttack: a cascade of attacks without parameters, each on the images that still stand."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Literal

from attacks.ensemble.branch_and_bound import BranchAndBoundAttack
from attacks.gradient.apgd import APGD, APGDTargeted
from attacks.minimal.fab import FAB, FABTargeted
from attacks.query.square import Square
from attacks.shared.options import finite_radius, positive
from robench.attack.protocol import Attack, AttackInfo
from robench.errors import ConfigError
from robench.papers import paper
from robench.plan import LATER

if TYPE_CHECKING:
    from robench.attack.oracle import Oracle
    from robench.attack.threat import ThreatModel
    from robench.model.interface import Model
    from robench.randomness import Randomness
    from robench.types import Images

VERSIONS = {
    "standard": ("apgd-ce", "apgd-t", "fab-t", "square"),
    "plus": ("apgd-ce", "apgd-dlr", "fab", "square", "apgd-t", "fab-t"),
}
"""The attacks, in this order (Croce & Hein 2020, section 6; the authors' released code)."""

STEPS, QUERIES, CLASSES, RESTARTS = 100, 5000, 9, 5


@dataclass(frozen=True, slots=True, kw_only=True)
class AutoAttack:
    """APGD, targeted APGD, targeted FAB and Square, each on the images that earlier ones did not break.

    Croce & Hein 2020 (arXiv:2003.01690), section 6; under L1 Croce & Hein 2021 (arXiv:2103.01208). An image
    is broken if any of them breaks it. Each attack runs to its end, and an image it broke keeps its point,
    also where the images are wanted for transfer and nothing is dropped on the way; a joint batch is attacked
    whole by all of them.

    Attributes:
        version: `standard`, or `plus` with five restarts, APGD on the `dlr` loss and untargeted FAB as well.
        attacks: only these of the version's attacks, in its order; all by default.
        scale: factor on the numbers of steps and queries: 1 is AutoAttack, less is quicker and weaker.
        branch_and_bound: seconds of `branch_and_bound` for each image that stands at the end; None for none.
    """

    info: ClassVar[AttackInfo] = AttackInfo(
        identity="attacks.autoattack:AutoAttack",
        title="AutoAttack",
        paper="Croce & Hein 2020, arXiv:2003.01690; Croce & Hein 2021, arXiv:2103.01208",
        bibtex=paper("croce2020reliable", "croce2021mind", "croce2020minimally", "andriushchenko2020square"),
        norms=("Linf", "L2", "L1"),
        randomised=True,
        revision=2,
    )
    version: Literal["standard", "plus"] = "standard"
    attacks: tuple[str, ...] | None = None
    scale: float = 1.0
    branch_and_bound: float | None = field(default=None, metadata=LATER)

    def __post_init__(self) -> None:
        """Refuse invalid options."""
        positive(scale=self.scale, branch_and_bound=self.branch_and_bound)
        if self.version not in VERSIONS:
            raise ConfigError(where="version", expected="`standard` or `plus`", got=repr(self.version))
        names = VERSIONS[self.version]
        if self.attacks is not None and (not self.attacks or not set(self.attacks) <= set(names)):
            raise ConfigError(where="attacks", expected=f"some of {', '.join(names)}", got=str(self.attacks))

    def parts(self, norm: str) -> dict[str, Attack]:
        """Return the attacks for a norm, with the published settings, in order."""
        steps, queries = self._scaled(STEPS), self._scaled(QUERIES)
        plus, sparse = self.version == "plus", norm == "L1"
        restarts = RESTARTS if plus or sparse else 1
        classes = RESTARTS if sparse and not plus else CLASSES
        recipes: dict[str, Attack] = {
            "apgd-ce": APGD(steps=steps, restarts=restarts),
            "apgd-dlr": APGD(steps=steps, restarts=restarts, loss="dlr"),
            "apgd-t": APGDTargeted(steps=steps, classes=classes),
            "fab": FAB(steps=steps, restarts=RESTARTS),
            "fab-t": FABTargeted(steps=steps, classes=CLASSES),
            "square": Square(queries=queries, rescale=False),
        }
        names = VERSIONS[self.version] if self.attacks is None else self.attacks
        parts = {name: recipes[name] for name in VERSIONS[self.version] if name in names}
        if self.branch_and_bound is not None:
            parts["branch-and-bound"] = BranchAndBoundAttack(seconds=self.branch_and_bound)
        return parts

    def check_model(self, model: Model, threat: ThreatModel, shape: tuple[int, ...]) -> None:
        """Refuse a model that `branch_and_bound`, if it is used, cannot bound.

        Raises:
            ConfigError: names the layer.
        """
        if self.branch_and_bound is not None:
            BranchAndBoundAttack().check_model(model, threat, shape)

    def __call__(self, oracle: Oracle, rng: Randomness) -> Images:
        """Return each image's point of the attack that broke it, or of the last one.

        Raises:
            ConfigError: the radius is infinite.
        """
        import torch

        from robench.attack.norms import per_image
        from robench.model.interface import Coupling

        x, threat = oracle.x, oracle.threat
        finite_radius(threat.eps, "AutoAttack")
        # Images of a joint batch may be broken in different batches, but only one batch is proposed.
        whole = oracle.model.coupling is Coupling.JOINT
        proposals = x
        for name, attack in self.parts(threat.norm.name).items():
            standing = torch.ones_like(oracle.broken) if whole else ~oracle.broken
            if oracle.finished or not bool(standing.any()):
                break
            with oracle.only(standing):
                last = attack(oracle, rng.split(name))
                proposals = torch.where(per_image(standing, x), oracle.proposal(last), proposals)
        return proposals

    def _scaled(self, count: int) -> int:
        return max(round(count * self.scale), 1)
