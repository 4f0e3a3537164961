"""An attack under test: run on the toy models, with its effects observed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor

from robench.attack.norms import NORMS
from robench.attack.oracle import Oracle
from robench.attack.protocol import Attack, AttackInfo, run_attack
from robench.attack.threat import Goal, ThreatModel
from robench.conformance.isolation import lent_generators
from robench.conformance.result import require
from robench.conformance.toys import ToyNet, toy_images, toy_model
from robench.model.interface import Model, OutputKind, predictions
from robench.randomness import Randomness
from robench.types import Images, Labels, Mask, RowNumbers

RADII = {"Linf": 0.03, "L2": 0.25, "L1": 2.0, "L0": 6.0}
"""A radius for each norm that breaks some of the toy images and not all; 1 for a norm not listed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AttackRun:
    """The result of one call of an attack.

    Attributes:
        last: the images it returned, (B, C, H, W).
        proposal: the images the oracle would pass to the judge.
        oracle: the oracle of the call.
        passed: rows that went through the network while the attack ran.
        booked: forward passes in the ledger after the call.
        batches: sizes of the batches that went through the network.
        moved: the global generators whose state changed.
        changed: the inputs that were changed.
        start: the clean images.
        y: their labels.
    """

    last: Images
    proposal: Images
    oracle: Oracle
    passed: int
    booked: int
    batches: list[int]
    moved: list[str]
    changed: list[str]
    start: Images
    y: Labels

    @property
    def broken(self) -> Mask:
        """Which images end up misclassified at an admissible point."""
        return classified(self.oracle.model, self.proposal) != self.y


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """The threat and the settings with which an attack is run.

    Attributes:
        norm: name of the norm; the first that the attack declares by default.
        eps: radius; that of `RADII` by default.
        goal: untargeted or targeted; the first that the attack supports by default.
        budget: most passes per image.
        batch_size: most images per pass.
        drop: let broken images leave the batch.
        seed: seed of the attack's own randomness.
        global_seed: seed of the global generators, which it must not use.
    """

    norm: str | None = None
    eps: float | None = None
    goal: Goal | None = None
    budget: int | None = None
    batch_size: int = 250
    drop: bool = False
    seed: int = 0
    global_seed: int = 0

    def threat(self, norm: str, goal: Goal) -> ThreatModel:
        """Return the threat model, with this norm and this goal as the defaults."""
        name = self.norm or norm
        radius = RADII.get(name, 1.0) if self.eps is None else self.eps
        return ThreatModel(norm=NORMS[name], eps=radius, goal=self.goal or goal, budget=self.budget)


PLAIN = Rules()


@dataclass(slots=True)
class AttackTrial:
    """One attack under test; the plain run, with which most laws compare, is made once."""

    info_type: ClassVar[type[AttackInfo]] = AttackInfo
    recipe: Attack
    _plain: AttackRun | None = field(default=None, init=False)

    @property
    def norms(self) -> list[str]:
        """The norms it declares, of those that robench knows."""
        return [name for name in self.recipe.info.norms if name in NORMS]

    @property
    def norm(self) -> str:
        """The first of them."""
        return self.norms[0]

    @property
    def plain(self) -> AttackRun:
        """A run on ten classes, under the first norm."""
        if self._plain is None:
            self._plain = self.play(self.toy())
        return self._plain

    def toy(
        self,
        classes: int = 10,
        output: OutputKind = OutputKind.LOGITS,
        *,
        joint: bool = False,
        bad: str = "none",
    ) -> Model:
        """Return a toy that the attack can attack; see `toy_model`."""
        return toy_model(classes, output, joint=joint, bad=bad, rectified=self.recipe.info.rectifiers)

    def _labels(self, model: Model) -> Labels:
        """Return the predictions of a sound model of this kind, with one label wrong from the start."""
        y = classified(self.toy(model.classes), toy_images())
        y[0] = (y[0] + 1) % model.classes
        return y

    def play(self, model: Model, rules: Rules = PLAIN, *, rows: RowNumbers | None = None) -> AttackRun:
        """Run the attack once.

        Args:
            model: the toy it attacks.
            rules: threat and settings.
            rows: which of the toy images, all by default; an image keeps its identity.
        """
        rows = torch.arange(len(toy_images())) if rows is None else rows
        x, y = toy_images()[rows], self._labels(model)[rows]
        threat = rules.threat(self.norm, Goal(self.recipe.info.goals[0]))
        targets = (y + 1) % model.classes if threat.goal is Goal.TARGETED else y
        oracle = Oracle(
            model,
            x.clone(),
            targets.clone(),
            threat,
            minimise=self.recipe.info.minimises,
            drop=rules.drop,
            batch_size=rules.batch_size,
        )
        net = getattr(model.net, "module", model.net)  # without its wrapper
        assert isinstance(net, ToyNet)  # only toys are attacked here
        net.batches.clear()
        with lent_generators(rules.global_seed) as generators:
            rng = Randomness(rules.seed, rows, ("conformance",))
            last = run_attack(self.recipe, oracle, rng, copies=False)
        batches, passes = list(net.batches), int(oracle.ledger.forwards.sum())
        pairs = (("x", oracle.x, x), ("y", oracle.y, targets))
        changes = [what for what, now, before in pairs if not torch.equal(now, before)]
        require(isinstance(last, Tensor), f"returned {type(last).__name__}, not a tensor")
        require(last.shape == x.shape, f"returned {tuple(last.shape)}, not {tuple(x.shape)}")
        return AttackRun(
            last=last,
            proposal=oracle.proposal(last.detach()),
            oracle=oracle,
            passed=sum(batches),
            booked=passes,
            batches=batches,
            moved=generators,
            changed=changes,
            start=x,
            y=y,
        )


@torch.no_grad()
def classified(model: Model, x: Images) -> Labels:
    """Return the predicted classes (B,)."""
    return predictions(model.net(x))
