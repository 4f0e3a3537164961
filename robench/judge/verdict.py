"""The judge measures every proposal of an attack again and decides its status."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

from robench.attack.norms import L2, LINF
from robench.attack.questions import reached
from robench.attack.threat import Goal, ThreatModel
from robench.errors import JobError
from robench.model.evaluation import evaluation_mode
from robench.model.interface import NOT_FINITE, TIED, Coupling, Model, predictions
from robench.model.noise import fresh
from robench.plurals import counted
from robench.record.schema import Finding, Status
from robench.types import Images, Labels, Mask, PerSample

VERSION = 1
"""Version of the rule for one image; part of every key, so that raising it makes earlier verdicts invalid.

Which images of a record count as robust is in `robench.record.status.robust_images`.
`reports.board.judgements` and `reports.board.shares` apply the same rule to many records at once.
`robench.record.status.statuses_of` is this rule for what a record says, to check those of strangers.
"""

INADMISSIBLE = "inadmissible"


@dataclass(frozen=True, slots=True, kw_only=True)
class Landing:
    """Where proposals are judged.

    Attributes:
        point: (B, C, H, W) admissible images.
        raw: (B, C, H, W) the proposals; the clean image replaces a proposal that is not finite.
        outside: (B,) which proposals left the threat model and were projected.
        finite: (B,) which proposals were finite.
    """

    point: Images
    raw: Images
    outside: Mask
    finite: Mask


def landing(x: Images, x_adv: Images, threat: ThreatModel) -> Landing:
    """Return the points at which proposals x_adv (B, C, H, W) on x are judged."""
    x_adv = x_adv.detach().to(x.dtype)
    finite = torch.isfinite(x_adv.flatten(1)).all(dim=1)
    raw = torch.where(finite[:, None, None, None], x_adv, x)
    outside, point = ~threat.admits(x, raw), raw
    if bool(outside.any()):
        point = torch.where(outside[:, None, None, None], threat.project(x, raw), raw)
    return Landing(point=point, raw=raw, outside=outside, finite=finite)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The judge's results, per image; all columns are (B,).

    Attributes:
        clean: predicted class of the clean image, K if it was rejected; -1 if the output was not finite, -2
            if two or more classes shared the largest output.
        adversarial: predicted class of the judged point.
        status: one Status per image.
        linf: largest pixel change of the judged point, float64.
        l2: Euclidean size of the change, float64.
        distance: size of the change in the norm of the threat, float64.
        landing: where the proposals were judged.
        findings: reasons to doubt the attack or the model.
    """

    clean: Labels
    adversarial: Labels
    status: list[Status]
    linf: PerSample
    l2: PerSample
    distance: PerSample
    landing: Landing
    findings: tuple[Finding, ...]

    @property
    def repaired(self) -> Mask:
        """Which proposals were outside the threat model or not finite, and were judged elsewhere, (B,)."""
        return self.landing.outside | ~self.landing.finite


def classify(model: Model, x: Images, *, batch_size: int) -> Labels:
    """Return predicted classes (B,); a joint model sees all of x at once.

    `NOT_FINITE` and `TIED` stand for no class (`robench.model.predictions`), K for a rejection.

    Raises:
        JobError: the output does not have the shape (B, columns) that the model declares.
    """
    if model.coupling is Coupling.JOINT:
        batch_size = max(len(x), 1)
    with torch.no_grad(), evaluation_mode(model.net):
        parts = []
        for part in torch.split(x, batch_size):
            outputs = model.net(part)
            if outputs.shape != (len(part), model.columns):
                raise JobError(
                    where=f"model {model.name!r}",
                    expected=f"outputs of shape ({len(part)}, {model.columns})",
                    got=str(tuple(outputs.shape)),
                )
            parts.append(predictions(outputs, model.output))
    return torch.cat(parts)


def fresh_outcomes(
    model: Model,
    point: Images,
    y: Labels,
    *,
    attacked: bool,
    target: Labels | None,
    draws: int,
    seed: int,
    batch_size: int,
) -> list[str]:
    """Return one text per image, such as `1101`: whether it stands (1) in each draw of fresh noise.

    Args:
        model: a random model.
        point: images (B, C, H, W).
        y: true labels (B,).
        attacked: false for clean images, which stand only if their class is right.
        target: target classes (B,) under a targeted goal.
        draws: how often each image is classified.
        seed: of networks that draw from the global generators; see `robench.model.fresh`.
        batch_size: most images per pass of an independent model.
    """
    answers = []
    for number in range(draws):
        with fresh(number, seed):
            answers.append(classify(model, point, batch_size=batch_size))
    classes = torch.stack(answers)
    robust = ~reached(model, classes, y, target) & (classes != NOT_FINITE) if attacked else classes == y
    return ["".join("01"[one] for one in image) for image in robust.T.tolist()]


def judge(
    model: Model,
    x: Images,
    y: Labels,
    x_adv: Images,
    *,
    threat: ThreatModel,
    target: Labels | None = None,
    clean: Labels | None = None,
    batch_size: int = 250,
) -> Verdict:
    """Judge proposed images on a model, without trusting any result of the attack.

    Distance is recomputed in float64, and box and finiteness are checked. A proposal that is not admissible
    is projected and judged at the projected point, with a finding; one that is not finite is replaced by the
    clean image. An image misclassified before the attack is never robust. If the model may reject, a
    rejected clean image is misclassified, and a rejected proposal has not reached the goal. A tie counts as
    a wrong class: a clean image is then misclassified, and a proposal is broken, unless the goal is targeted.

    Args:
        model: the model that classifies; for a joint model the batch is the graph's batch.
        x: clean images (B, C, H, W).
        y: true labels (B,).
        x_adv: proposals, (B, C, H, W).
        threat: defines which proposals are admissible.
        target: target classes (B,) under a targeted goal.
        clean: predictions on x, if they are known already.
        batch_size: most images per pass of an independent model.

    Raises:
        JobError: the proposal has another shape than x, or the model's output has a wrong shape.
    """
    if x_adv.shape != x.shape:
        raise JobError(
            where="attack", expected=f"images of shape {tuple(x.shape)}", got=str(tuple(x_adv.shape))
        )
    place = landing(x, x_adv, threat)
    delta = place.point.double() - x.double()
    linf, l2, distance = LINF.size(delta), L2.size(delta), threat.norm.size(delta)
    adversarial = classify(model, place.point, batch_size=batch_size)
    if clean is None:
        # The clean evaluation proposes the images themselves: one pass gives both columns.
        same = torch.equal(place.point, x)
        clean = adversarial if same else classify(model, x, batch_size=batch_size)
    goal = target if threat.goal is Goal.TARGETED else None
    status = _statuses(clean, adversarial, y, reached(model, adversarial, y, goal))
    findings = (
        _inadmissible(x, place, threat),
        _not_finite_proposals(place),
        _tied(adversarial),
        _not_finite_outputs(status),
    )
    return Verdict(
        clean=clean,
        adversarial=adversarial,
        status=status,
        linf=linf,
        l2=l2,
        distance=distance,
        landing=place,
        findings=tuple(finding for finding in findings if finding),
    )


def with_count_as_proposed(verdict: Verdict, model: Model, y: Labels, *, batch_size: int) -> Verdict:
    """Return the verdict with a note on how many images would be right if no proposal were projected.

    The statuses are the same; only the evidence of the finding `inadmissible`, if any, gets longer.
    """
    if not bool(verdict.landing.outside.any()):
        return verdict
    right = int((classify(model, verdict.landing.raw, batch_size=batch_size) == y).sum())
    count = (
        f"; as proposed {right} of {len(y)} would be classified correctly, "
        f"as projected {int((verdict.adversarial == y).sum())}"
    )
    findings = (
        replace(finding, evidence=finding.evidence + count) if finding.code == INADMISSIBLE else finding
        for finding in verdict.findings
    )
    return replace(verdict, findings=tuple(findings))


def _statuses(clean: Labels, adversarial: Labels, y: Labels, successes: Mask) -> list[Status]:
    """Return the status per image: misclassified first, then failed, then whether the goal was reached."""
    statuses = []
    for before, after, label, success in zip(
        clean.tolist(), adversarial.tolist(), y.tolist(), successes.tolist(), strict=True
    ):
        if before == NOT_FINITE or (after == NOT_FINITE and before == label):
            statuses.append(Status.FAILED)
        elif before != label:
            statuses.append(Status.MISCLASSIFIED)
        else:
            statuses.append(Status.BROKEN if success else Status.ROBUST)
    return statuses


def _inadmissible(x: Images, place: Landing, threat: ThreatModel) -> Finding | None:
    if not bool(place.outside.any()):
        return None
    size = float(threat.norm.size(place.raw.double() - x.double()).max())
    low, high = float(place.raw.min()), float(place.raw.max())
    return Finding(
        code=INADMISSIBLE,
        evidence=f"{int(place.outside.sum())} of {counted(len(x), 'proposal')} left the threat model, by "
        f"up to {threat.norm.name} {size:.6g} (eps {threat.eps:.6g}), pixels {low:.6g} to {high:.6g}",
        remedy="They were projected and judged where they landed; check eps and clipping",
    )


def _not_finite_proposals(place: Landing) -> Finding | None:
    if bool(place.finite.all()):
        return None
    return Finding(
        code="nonfinite-proposal",
        evidence=f"{int((~place.finite).sum())} of {counted(len(place.finite), 'proposal')} were not finite",
        remedy="They were judged as the clean image; check the attack's gradients",
    )


def _tied(adversarial: Labels) -> Finding | None:
    ties = int((adversarial == TIED).sum())
    if not ties:
        return None
    return Finding(
        code="tied-output",
        evidence=f"{ties} of {counted(len(adversarial), 'image')} "
        "got no answer: classes share the largest output",
        remedy="A tie counts as wrong; other programs take the first of the equal classes. Scores that "
        "saturate (tanh, sigmoid): return what is before them; equal votes: more of them; a coarse number "
        "type: a finer one; 1/K for every class of a graph head: a larger template or m",
    )


def _not_finite_outputs(status: list[Status]) -> Finding | None:
    failures = sum(s is Status.FAILED for s in status)
    if not failures:
        return None
    return Finding(
        code="nonfinite-output",
        evidence=f"the model's output was not finite on {failures} of {counted(len(status), 'image')}",
        remedy="They count as not robust; find where the network overflows",
    )
