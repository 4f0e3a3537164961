"""C&W as the authors' public code runs it on a WNLL head, for study; not the paper's Eq. 17-20 and 23."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from attacks.minimal.cw import BETA_1, BETA_2, TINY
from attacks.shared.options import at_least, not_negative, positive
from robench.attack.protocol import AttackInfo
from robench.errors import ConfigError
from robench.papers import paper

if TYPE_CHECKING:
    from robench.attack.losses import Loss
    from robench.attack.oracle import Oracle
    from robench.model.interface import GradientSource, Model, OutputKind
    from robench.randomness import Randomness
    from robench.types import Images, Labels, Outputs, PerSample


@dataclass(frozen=True, slots=True, kw_only=True)
class WNLLPublishedCW:
    """Adam on the pixels themselves, c max(u_p - u_t + kappa, 0) with p the clean prediction, u as it is.

    What the code does and the paper's Eq. 17-20 and 23 do not (more in docs/wnll-attacks.md):

    - There is no change of variables, and nothing is clipped: images leave [0, 1]. The judge projects them
      and says by how far they were out (finding `inadmissible`).
    - The target t of test image k is the class of row k of the graph, whose first rows are the template. One
      image in about K gets its own class; its gradient is zero and it is never moved.
    - The distance ||w - x||^2 is always zero, for clean images and variable share their memory.
    - The images classified are those after the step whose batch had the smallest sum of losses before it,
      then moved by `noise_scale` times their difference from the clean ones; which, sharing memory, are the
      last point by then.
    - c is never searched for.

    The gradient is straight-through, the template clean: no loss is asked of its rows. A model without
    neighbourhoods has no template rows; its own outputs are attacked, towards classes drawn at random. The
    goal is untargeted, in the code's own way.

    Attributes:
        c: weight of the hinge.
        kappa: its margin, in units of u.
        steps: of Adam; the authors' code has 100 on MNIST, 50 on CIFAR-10.
        learning_rate: of Adam, in pixel values; the authors' code has 0.003 on MNIST and 0.0006 on CIFAR-10,
            where the paper says 0.006.
        shared_memory: let the clean images move with the variable, as they do there. Without it the distance
            counts, and the noise is measured from the clean images.
        noise_scale: factor on the noise in the end; on MNIST 0.01 unless the command line says otherwise.
    """

    info: ClassVar[AttackInfo] = AttackInfo(
        identity="attacks.wnll_published_cw:WNLLPublishedCW",
        title="C&W (published WNLL evaluation)",
        paper="Wang & Osher 2019, arXiv:1907.06800; github.com/BaoWangMath/DNN-DataDependentActivation",
        bibtex=paper("wang2019graph", "carlini2017towards"),
        norms=("L2", "Linf"),
        randomised=True,
        minimises=True,
        couples_images=True,
        unconfined=True,
        own_source="published",
    )
    c: float = 10.0
    kappa: float = 0.0
    steps: int = 100
    learning_rate: float = 0.003
    shared_memory: bool = True
    noise_scale: float = 0.01

    def __post_init__(self) -> None:
        """Refuse invalid options."""
        at_least(1, steps=self.steps)
        positive(c=self.c, learning_rate=self.learning_rate)
        not_negative(kappa=self.kappa, noise_scale=self.noise_scale)

    def __call__(self, oracle: Oracle, rng: Randomness) -> Images:
        """Return the images the published code classifies, wherever they are; see `robench.attack.Attack`.

        Raises:
            ConfigError: the goal is targeted, or the model has neighbourhoods but no trained linear branch.
        """
        import torch

        from robench.attack.threat import Goal

        x, threat = oracle.x, oracle.threat
        if threat.goal is Goal.TARGETED:
            raise ConfigError(where="goal", expected="untargeted, as published", got="targeted")
        source = _source(oracle.model)
        oracle.track, oracle.batch_size = False, max(len(x), 1)
        answers = oracle.outputs(x).nan_to_num(0.0).argmax(dim=1)
        pairs = torch.stack([answers, targets(oracle.model, answers, rng)], dim=1)
        loss = _hinge(self.c, self.kappa)
        point, best, least = x, x, float("inf")
        mean, variance = torch.zeros_like(x), torch.zeros_like(x)
        for step in range(1, self.steps + 1):
            if oracle.finished:
                break
            value, ascent = oracle.value_and_gradient(loss, point, pairs, source=source)
            active = value > -torch.inf
            if not bool(active.any()):
                break
            total, gradient = float(-value[active].sum()), -ascent
            if not self.shared_memory:
                total += float((point - x).square().sum())
                gradient = gradient + 2 * (point - x)
            mean = mean.lerp(gradient, 1 - BETA_1)
            variance = variance.lerp(gradient.square(), 1 - BETA_2)
            # Adam as PyTorch 0.4 has it: TINY is added before the second moment's bias is corrected.
            rate = self.learning_rate * (1 - BETA_2**step) ** 0.5 / (1 - BETA_1**step)
            point = point - rate * mean / (variance.sqrt() + TINY)
            if total < least:
                best, least = point, total
        origin = point if self.shared_memory else x
        return origin + self.noise_scale * (best - origin)


def targets(model: Model, predicted: Labels, rng: Randomness) -> Labels:
    """Return the class that each test image is driven to, (B,).

    That of row k for image k, rows being counted template first, then test images with their predictions.
    Without a template, a class drawn uniformly for each image, its own included.
    """
    import torch

    if model.neighbourhood is None:
        draws = rng.uniform(torch.empty(len(predicted), device=predicted.device))
        return (draws * model.classes).long()
    return torch.cat([model.neighbourhood.memory().labels, predicted])[: len(predicted)]


def _hinge(c: float, kappa: float) -> Loss:
    """Return -c max(s_p - s_t + kappa, 0) of pairs (p, t), to be climbed."""

    def loss(outputs: Outputs, pairs: Labels, kind: OutputKind) -> PerSample:
        del kind  # u or logits, as they are
        own, goal = outputs.gather(1, pairs).unbind(dim=1)
        return -c * (own - goal + kappa).clamp_min(0)

    return loss


def _source(model: Model) -> GradientSource | None:
    """Return what is differentiated; None for a plain network itself."""
    if model.neighbourhood is None:
        return None
    if model.neighbourhood.linear is None:
        raise ConfigError(
            where=f"model {model.name!r}",
            expected="a trained linear branch to send the gradient through",
            got="none",
            do="Attack it with graph_adaptive, or train the network",
        )
    return model.source("straight_through")
