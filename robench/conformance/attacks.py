"""The laws of attacks: all by name, and those of the resulting images.

Batches are compared to within 1e-5 in every pixel. The toy model gives an image the same bits in every batch,
so only the attack's own arithmetic, which may sum in another order, needs this tolerance.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from robench.attack.norms import NORMS
from robench.attack.protocol import Attack, SelectiveAttack
from robench.attack.threat import Goal
from robench.conformance.attack_conduct import booked, chance, inputs, knowledge, model, seed, seedless
from robench.conformance.attack_trial import RADII, AttackRun, AttackTrial, Rules, classified
from robench.conformance.recipes import described, light
from robench.conformance.result import BrokenLawError, InapplicableError, Result, judged, require
from robench.conformance.toys import SHAPE, bright
from robench.errors import ConfigError
from robench.model.interface import OutputKind
from robench.plurals import counted
from robench.types import Images

TOLERANCE = 1e-5
"""Largest difference of a pixel between two compositions of a batch."""


def attack_laws(recipe: Attack) -> Iterator[Result]:
    """Check every law of attacks on one recipe, one by one."""
    rest: list[Callable[[AttackTrial], str]] = [
        seed,
        seedless,
        chance,
        inputs,
        model,
        admissible,
        zero,
        batch,
        dropping,
        outputs,
        joint,
        targeted,
        budget,
        booked,
        knowledge,
        nan,
    ]
    return judged(AttackTrial(recipe), first=[described, norms, light], gate=runs, rest=rest)


def norms(trial: AttackTrial) -> str:
    """Every norm it declares is one that robench knows."""
    names = trial.recipe.info.norms
    strangers = [name for name in names if name not in NORMS]
    require(bool(names), "it declares none")
    require(not strangers, f"unknown: {', '.join(strangers)}; known: {', '.join(NORMS)}")
    return ", ".join(names)


def runs(trial: AttackTrial) -> str:
    """It returns finite images of the shape, type and device it was given."""
    if isinstance(trial.recipe, SelectiveAttack):
        try:
            trial.recipe.check_model(trial.toy(), Rules().threat(trial.norm, Goal.UNTARGETED), SHAPE)
        except ConfigError as refusal:
            raise InapplicableError(f"It refuses the toy model: {refusal}") from None
    run = trial.plain
    last, x = run.last, run.start
    require(last.dtype == x.dtype, f"dtype {last.dtype}, not {x.dtype}")
    require(last.device == x.device, f"device {last.device}, not {x.device}")
    require(not last.requires_grad, "the images still carry a gradient graph: detach them")
    bad = int((~torch.isfinite(last)).sum())
    require(bad == 0, f"{bad} pixels are NaN or infinite")
    return f"breaks {int(run.broken.sum())} of {len(x)} toy images"


def admissible(trial: AttackTrial) -> str:
    """What it returns lies in the ball of each norm it declares, and in [0, 1]."""
    _confined(trial)
    names = []
    for name in trial.norms:
        run = trial.plain if name == trial.norm else trial.play(trial.toy(), Rules(norm=name))
        _admitted(run, f"{name} {RADII.get(name, 1.0):g}")
        names.append(name)
    if trial.recipe.info.minimises:
        try:
            _admitted(trial.play(trial.toy(), Rules(eps=float("inf"))), f"{trial.norm} inf")
            names.append("inf")
        except ConfigError as refusal:
            names.append(f"inf refused: {refusal}")
    return ", ".join(names)


def zero(trial: AttackTrial) -> str:
    """With eps = 0 the images come back unchanged."""
    _confined(trial)
    for name in trial.norms:
        run = trial.play(trial.toy(), Rules(norm=name, eps=0.0))
        # The same tolerance as the judge's; a NaN is not a small difference.
        worst = float((run.last - run.start).abs().max())
        require(worst <= run.oracle.threat.tolerance, f"{name}: a pixel moved by {worst:.3g}")
    return ""


def batch(trial: AttackTrial) -> str:
    """Other passes, another order, or parts of a batch give each image the same result."""
    info = trial.recipe.info
    if info.couples_images:
        raise InapplicableError("It declares that it couples images")
    if info.randomised and info.library != "robench":
        raise InapplicableError(f"{info.library} draws from one generator for the whole batch")
    whole = trial.plain.proposal
    count = len(whole)
    _alike(
        whole, trial.play(trial.toy(), Rules(batch_size=5)).proposal, torch.arange(count), "in passes of 5"
    )
    order = torch.randperm(count, generator=torch.Generator().manual_seed(0))
    _alike(whole, trial.play(trial.toy(), rows=order).proposal, order, "in another order")
    for part in torch.split(torch.arange(count), 5):
        _alike(whole, trial.play(trial.toy(), rows=part).proposal, part, f"in a batch of {len(part)}")
    return f"to within {TOLERANCE:g}"


def dropping(trial: AttackTrial) -> str:
    """Letting broken images leave the batch breaks the same images."""
    if trial.recipe.info.minimises or trial.recipe.info.couples_images:
        why = "minimises" if trial.recipe.info.minimises else "couples images"
        raise InapplicableError(f"It {why}, so its images never leave")
    whole, with_drops = trial.plain.broken, trial.play(trial.toy(), Rules(drop=True)).broken
    wrong = (whole != with_drops).nonzero().flatten().tolist()
    require(not wrong, f"another verdict on image {wrong[:1]} of {len(whole)}")
    return f"{int(whole.sum())} of {len(whole)} broken"


def outputs(trial: AttackTrial) -> str:
    """It runs on 2 and 10 classes, and on logits, log-probabilities and simplex points."""
    for classes in (2, 10):
        for kind in OutputKind:
            try:
                run = trial.play(trial.toy(classes, kind))
            except Exception as error:
                text = f"{kind} of {counted(classes, 'class')}: {type(error).__name__}: {error}"
                raise BrokenLawError(text) from error
            finite = bool(torch.isfinite(run.last).all())
            require(finite, f"{kind} of {counted(classes, 'class')}: images with NaN or infinite pixels")
    return ""


def joint(trial: AttackTrial) -> str:
    """A joint batch goes through the model whole, or is refused with a ConfigError."""
    try:
        run = trial.play(trial.toy(joint=True), Rules(batch_size=5, drop=True))
    except ConfigError as refusal:
        raise InapplicableError(f"Refused: {refusal}") from None
    count = len(run.start)
    split = sorted({size for size in run.batches if size != count})
    require(not split, f"passes of {split} images of a joint batch of {count}")
    return ""


def targeted(trial: AttackTrial) -> str:
    """A targeted goal is played, admissibly, or refused with a ConfigError."""
    if Goal.TARGETED not in trial.recipe.info.goals:
        raise InapplicableError("It declares that it plays an untargeted goal only")
    try:
        run = trial.play(trial.toy(), Rules(goal=Goal.TARGETED))
    except ConfigError as refusal:
        raise InapplicableError(f"Refused: {refusal}") from None
    _admitted_too(trial, run, "targeted")
    targets = (run.y + 1) % 10
    hits = classified(run.oracle.model, run.proposal) == targets
    return f"{int(hits.sum())} of {len(targets)} targets reached"


def budget(trial: AttackTrial) -> str:
    """A budget of passes is kept image by image, or refused with a ConfigError."""
    for most in (1, 7):
        try:
            run = trial.play(trial.toy(), Rules(budget=most))
        except ConfigError as refusal:
            raise InapplicableError(f"Refused: {refusal}") from None
        ledger = run.oracle.ledger
        passes = int((ledger.forwards + ledger.backwards).max())
        require(passes <= most, f"{passes} passes on one image with a budget of {most}")
        _admitted_too(trial, run, f"budget {most}")
    return "1 and 7 passes"


def nan(trial: AttackTrial) -> str:
    """A model that returns NaN does not crash it, and does not spoil the images on which it does not."""
    try:
        trial.play(trial.toy(bad="all"))
        run = trial.play(trial.toy(bad="half"))
    except ConfigError as refusal:
        if not trial.recipe.info.rectifiers:
            raise
        raise InapplicableError(f"Refused: {refusal}") from None
    sane = ~bright(run.start)
    fine = torch.isfinite(run.proposal[sane].flatten(1)).all(dim=1)
    require(bool(fine.all()), f"{int((~fine).sum())} of {int(sane.sum())} other images are spoilt")
    return f"{int((~sane).sum())} of {counted(len(sane), 'image')} with NaN"


def _alike(whole: Images, part: Images, rows: Tensor, what: str) -> None:
    distance = (part - whole[rows]).abs().flatten(1).amax(dim=1)
    image = int(distance.argmax())
    worst = float(distance[image])
    require(worst <= TOLERANCE, f"image {int(rows[image])} differs by {worst:.3g} {what}")


def _confined(trial: AttackTrial) -> None:
    if trial.recipe.info.unconfined:
        raise InapplicableError("It declares that it is unconfined; the judge projects what it proposes")


def _admitted_too(trial: AttackTrial, run: AttackRun, what: str) -> None:
    """Break the law if a point is inadmissible; not if the same was reported for the plain run."""
    plain = trial.plain
    if bool(plain.oracle.threat.admits(plain.start, plain.last).all()):
        _admitted(run, what)


def _admitted(run: AttackRun, what: str) -> None:
    threat = run.oracle.threat
    fine = threat.admits(run.start, run.last)
    if bool(fine.all()):
        return
    image = int((~fine).nonzero()[0])
    point = run.last[image : image + 1]
    size = float(threat.norm.size(point.double() - run.start[image : image + 1].double()))
    low, high = float(point.min()), float(point.max())
    require(False, f"{what}: image {image} at distance {size:.6g}, pixels from {low:.4g} to {high:.4g}")
