"""The entry to all bounding methods: images in, an outcome for each out."""

from __future__ import annotations

import time

from robench.attack.threat import ThreatModel
from robench.bounds.certifier import EFFORTS, Certifier
from robench.bounds.decision import outcomes_of
from robench.bounds.heads import HeadCertifier, head_of
from robench.bounds.search import Budget, Outcome, Verdict
from robench.errors import ConfigError
from robench.model.interface import Model
from robench.plan.bounds import METHODS, BranchAndBound, Method
from robench.types import Images, Labels


def certifier_of(
    model: Model, threat: ThreatModel, shape: tuple[int, ...], method: Method
) -> Certifier | HeadCertifier:
    """Return a certifier of a model under a threat: of its logits, or of its features and their head.

    Args:
        model: the model.
        threat: untargeted, with a finite radius.
        shape: (C, H, W) of its images.
        method: the bounding method.

    Raises:
        ConfigError: the model has no such bounds; the layer is named.
    """
    if head_of(model) is None:
        return Certifier(model, threat, shape)
    if isinstance(method, BranchAndBound):
        got, do = "branch_and_bound, which splits margins of logits", "Use crown"
        where = f"model {model.name!r}"
        raise ConfigError(where=where, expected="ibp or crown for a graph head", got=got, do=do)
    return HeadCertifier(model, threat, shape)


def budget_of(method: BranchAndBound) -> Budget:
    """Return the limits of a search from its options."""
    return Budget(
        seconds=method.seconds, domains=method.domains, restarts=method.restarts, polish=method.polish
    )


def certified_outcomes(
    certifier: Certifier | HeadCertifier, x: Images, y: Labels, method: Method, *, seed: int = 0
) -> list[Outcome]:
    """Return the outcome of each image: certified only if float32 rounding cannot change it.

    Args:
        certifier: the model and the threat.
        x: images (B, C, H, W) in the box.
        y: their classes (B,).
        method: the bounding method, with its limits.
        seed: seed of random choices in a search.

    Raises:
        ConfigError: the network computes something else than its graph.
        InputError: images or labels cannot be used.
    """
    x, y = certifier.checked(x, y)
    if isinstance(method, BranchAndBound) and isinstance(certifier, Certifier):
        return outcomes_of(certifier, x, y, budget_of(method), seed=seed)
    name = next(name for name, kind in METHODS.items() if isinstance(method, kind))
    start = time.perf_counter()
    bounds = certifier.margins(x, y, EFFORTS[name]).amin(dim=1)
    right = certifier.right(x, y)
    above = bounds > certifier.slack(x)
    seconds = (time.perf_counter() - start) / max(len(x), 1)
    outcomes = []
    for number, (bound, correct, sure) in enumerate(
        zip(bounds.tolist(), right.tolist(), above.tolist(), strict=True)
    ):
        verdict = Verdict.CERTIFIED if correct and sure else Verdict.UNDECIDED
        outcomes.append(
            Outcome(
                verdict=verdict if correct else Verdict.BROKEN,
                bound=bound,
                x_adv=None if correct else x[number],
                domains=1,
                seconds=seconds,
            )
        )
    return outcomes
